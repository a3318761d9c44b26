# SPDX-License-Identifier: Apache-2.0
"""One look at a machine: everything that its kernel tells, as a `Sample`.

Paths are looked up once and files stay open, so that a look costs little (`docs/board.md` has the
measured time). Everything is read below a root path, so that recorded trees can be looked at too.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from edge_trt_jetson import detect, nvml
from edge_trt_jetson.files import Source
from edge_trt_jetson.telemetry import board_power
from edge_trt_jetson.telemetry.cpu import Cpus, MemoryReader
from edge_trt_jetson.telemetry.engines import Engines, Gpu
from edge_trt_jetson.telemetry.heat import Fans, Thermal, Throttling
from edge_trt_jetson.telemetry.rails import Rails
from edge_trt_jetson.telemetry.sample import Engine, Fan, Rail, Sample

SLOW = 0.9
"""Seconds within which temperatures, fans and throttling are not read again.

They move slowly, and are what costs most on a board: each is a transfer to a power monitor over I2C
or a message to the boot and power management processor. Events of throttling are counted by the
board itself, so none is lost.
"""


class Reader:
    """Reads a machine; a context manager.

    Attributes:
        detection: Which Jetson it is; None where it is no Jetson.
    """

    def __init__(self, root: str | Path = "/", slow: float = SLOW) -> None:
        """Look up what there is.

        Args:
            root: The running system's `/`, or a folder with copies of its `proc`, `sys` and `etc`.
            slow: Seconds within which what moves slowly is not read again (see `SLOW`).
        """
        root = Path(root)
        self._slow, self._conditions_due = slow, -math.inf
        self._conditions: _Conditions | None = None
        self.detection = detect.detect(root)
        self._cpus, self._memory = Cpus(root), MemoryReader(root)
        self._gpu, self._engines = Gpu(root), Engines(root)
        self._thermal, self._fans = Thermal(root), Fans(root)
        self._rails, self._throttling = Rails(root), Throttling(root)
        self._uptime = Source(root / "proc/uptime")
        # Only where it has more to say than the kernel's files: its start can take long.
        here = is_here(root) and (self.detection is None or self._gpu.load_is_missing)
        self._nvml = nvml.start() if here else None
        board = self.detection.board if self.detection else None
        self.watts_of = board_power.total_of(self._rails.names, board.family if board else "")

    def read(self) -> Sample:
        """Look once. Nothing is raised: what can't be read is in `Sample.unavailable`."""
        missing: dict[str, str] = {}
        start = time.monotonic()
        rails = self._rails.read(missing)
        # The middle of reading the rails is when their power was: energy is integrated from it.
        now = (start + time.monotonic()) / 2
        gpu, problem = self._gpu.read()
        conditions = self._read_conditions(now)
        temperatures = dict(conditions.temperatures)
        if self._nvml is not None:
            asked = self._nvml.read()
            gpu = _joined(gpu, asked)
            if self.detection is None:  # a card of its own, which no file of the kernel tells of
                rails += () if asked.watts is None else (Rail("GPU", asked.watts),)
                temperatures |= {} if asked.celsius is None else {"gpu": asked.celsius}
        if gpu is None:
            missing["gpu"] = problem
        elif gpu.load is None:
            missing["gpu load"] = "NVML alone may tell it, on the running board"
        missing |= conditions.unavailable
        cpus, memory = self._cpus.read(), self._memory.read()
        if self._cpus.problem:
            missing["cpu"] = self._cpus.problem
        if memory is None:
            missing["memory"] = self._memory.problem
        engines = self._engines.read(missing) if self.detection else {}
        return Sample(
            time=now,
            cpus=cpus,
            gpu=gpu,
            engines=engines,
            temperatures=temperatures,
            rails=rails,
            watts=board_power.total(rails, self.watts_of),
            watts_of=self.watts_of,
            memory=memory,
            fans=conditions.fans,
            throttling=conditions.throttling,
            uptime=_seconds(self._uptime.read()),
            unavailable=missing,
        )

    def _read_conditions(self, now: float) -> _Conditions:
        if self._conditions is None or now >= self._conditions_due:
            self._conditions_due = now + self._slow
            missing: dict[str, str] = {}
            self._conditions = _Conditions(
                self._thermal.read(missing),
                self._fans.read(),
                self._throttling.read(missing),
                missing,
            )
        return self._conditions

    def close(self) -> None:
        """Give all descriptors back."""
        parts = (self._cpus, self._memory, self._gpu, self._engines, self._thermal)
        for part in (*parts, self._fans, self._rails, self._throttling, self._uptime):
            part.close()
        if self._nvml is not None:
            self._nvml.close()
            self._nvml = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _seconds(text: bytes | None) -> float | None:
    """The first number of `/proc/uptime`."""
    try:
        seconds = float((text or b"").split()[0])
    except (IndexError, ValueError):
        return None
    return seconds if math.isfinite(seconds) else None


def is_here(root: Path) -> bool:
    """Whether `root` is the running machine, and no copy of another."""
    return root == Path("/")


@dataclass(frozen=True, slots=True)
class _Conditions:
    """What moves slowly."""

    temperatures: dict[str, float]
    fans: dict[str, Fan]
    throttling: tuple[str, ...]
    unavailable: dict[str, str]


def _joined(gpu: Engine | None, asked: nvml.Gpu) -> Engine | None:
    """What the kernel tells, completed by NVML."""
    load = asked.load if gpu is None or gpu.load is None else gpu.load
    hz = asked.hz if gpu is None or gpu.hz is None else gpu.hz
    return None if load is None and hz is None else Engine(None, load, hz)
