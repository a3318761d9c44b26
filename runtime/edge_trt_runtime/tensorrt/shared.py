# SPDX-License-Identifier: Apache-2.0
"""Plans that are loaded in this process, each once however many sessions run it.

A robot that runs several bundles may have the same backbone in two of them. A plan is known by its
device, its DLA core and the sha256 of its file. Without a budget it is given back with its last
session; with one it is kept for the next session as long as there is room.
"""

from __future__ import annotations

import atexit
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.tensorrt.budget import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.tensorrt.engine import LoadedPlan

VARIABLE = "EDGE_TRT_MEMORY_BUDGET"
"""Environment variable: what all plans of a device may take, as ``2GB`` or in bytes."""


class Key(NamedTuple):
    """What makes two plans the same; how much of their weights is streamed is theirs."""

    ordinal: int
    lane: str
    sha256: str
    weight_streaming: int | str | None = None


class EngineInfo(NamedTuple):
    """A plan that is loaded.

    Attributes:
        segment: The segment that it was loaded for first.
        device: Such as ``cuda:0``.
        lane: ``gpu`` or ``dla:0``.
        size: Bytes of the plan, which is about what its weights take on the device.
        sessions: How many run it now; 0 for one that is kept for later.
    """

    segment: str
    device: str
    lane: str
    size: int
    sessions: int


@dataclass
class _Entry:
    plan: LoadedPlan
    device: Device
    segment: str
    size: int
    users: int = 0


@dataclass
class Lease:
    """The use of a loaded plan by one session."""

    plan: LoadedPlan
    _give_back: Callable[[], None] = field(repr=False)

    def release(self) -> None:
        """End the use, once; the device must be current."""
        give_back, self._give_back = self._give_back, _nothing
        give_back()


class Plans:
    """All loaded plans, in the order of their last use; several threads may use it.

    Attributes:
        budget: Bytes that plans of one device may take; None keeps none beyond its last session.
        budgets: The same of single devices, where it was said in a call.
    """

    def __init__(self) -> None:
        """Begin with none."""
        # The garbage collector may close a session at any line, also of these methods, and in the
        # thread that holds the lock.
        self._lock = threading.RLock()
        self._entries: dict[Key, _Entry] = {}
        self.budget: int | None = None
        self.budgets: dict[int, int] = {}
        self._leaving = False

    def limit(self, ordinal: int, budget: int) -> None:
        """Set what plans of a device may take from now on; the device must be current."""
        with self._lock:
            self.budgets[ordinal] = budget
            self._evict(ordinal, budget)

    def acquire(
        self, key: Key, device: Device, segment: str, size: int, load: Callable[[], LoadedPlan]
    ) -> Lease:
        """Return a plan, loaded now or before; the device must be current.

        Args:
            key: What plan it is.
            device: Where it runs.
            segment: For whom.
            size: Bytes of the plan.
            load: Deserializes it.

        Raises:
            EngineError: When it can't be loaded, or plans in use leave no room in the budget.
        """
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self._make_room(key.ordinal, segment, size)
                entry = _Entry(load(), device, segment, size)
            entry.users += 1  # from now on nobody gives it back
            self._entries.pop(key, None)
            self._entries[key] = entry  # last: used most recently
        return Lease(entry.plan, lambda: self._release(key, entry))

    def list(self) -> list[EngineInfo]:
        """Return what is loaded, the least recently used first."""
        with self._lock:
            return [
                EngineInfo(e.segment, f"cuda:{key.ordinal}", key.lane, e.size, e.users)
                for key, e in [*self._entries.items()]
            ]

    def close_idle(self) -> None:
        """Give back what no session uses, and keep nothing from now on."""
        self._leaving = True
        if any(entry.device.lost for entry in [*self._entries.values()]):
            return  # another thread of the parent may hold the lock for ever
        with self._lock:
            for key in [key for key, entry in self._entries.items() if not entry.users]:
                entry = self._entries.pop(key)
                with entry.device:
                    entry.plan.close()

    def forget(self, ordinal: int) -> None:
        """Share what a device has loaded with nobody from now on: a run hangs there."""
        with self._lock:
            for key, entry in [*self._entries.items()]:
                if key.ordinal == ordinal and entry.users:
                    self._entries.pop(key, None)

    def _release(self, key: Key, entry: _Entry) -> None:
        with self._lock:
            entry.users -= 1
            if entry.users:
                return
            if self._entries.get(key) is not entry:
                entry.plan.close()
                return
            budget = self.budgets.get(key.ordinal, self.budget)
            self._evict(key.ordinal, 0 if budget is None or self._leaving else budget)

    def _make_room(self, ordinal: int, segment: str, size: int) -> None:
        budget = self.budgets.get(ordinal, self.budget)
        if budget is None:
            return
        self._evict(ordinal, max(0, budget - size))
        used = self._used(ordinal)
        if used + size > budget:
            raise EngineError(
                f"the plan of segment {segment!r} takes {size / 1e6:.1f} MB, and plans in use "
                f"leave {max(0, budget - used) / 1e6:.1f} of {budget / 1e6:.1f} MB",
                segment=segment,
                hint=f"close other sessions, or raise memory_budget ({VARIABLE})",
            )

    def _evict(self, ordinal: int, limit: int) -> None:
        """Give back what is not in use, the least recently used first, until a limit is kept."""
        for key, entry in [*self._entries.items()]:
            if self._used(ordinal) <= limit:
                return
            idle = key.ordinal == ordinal and not entry.users
            if idle and self._entries.pop(key, None) is entry:
                entry.plan.close()

    def _used(self, ordinal: int) -> int:
        return sum(e.size for key, e in [*self._entries.items()] if key.ordinal == ordinal)


def _nothing() -> None:
    pass


PLANS = Plans()
"""Those of this process."""

if os.environ.get(VARIABLE):
    PLANS.budget = parse_bytes(os.environ[VARIABLE], VARIABLE)
atexit.register(PLANS.close_idle)


def engines() -> list[EngineInfo]:
    """Return the TensorRT plans that this process has loaded, least recently used first."""
    return PLANS.list()
