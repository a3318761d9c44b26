# SPDX-License-Identifier: Apache-2.0
"""Which lane takes which run."""

from __future__ import annotations

import os
import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING
from weakref import WeakSet

from edge_trt_runtime.errors import EngineError

if TYPE_CHECKING:
    from edge_trt_runtime.pool.lanes import OpenLane


class Queue:
    """Hands out lanes; several threads may ask at once, and wait in the order in which they came.

    A lane that gets free goes to who waits longest, and not to who asks next: a thread that runs
    one thing after the other would otherwise get it again and again.
    """

    def __init__(self, lanes: list[OpenLane], root: str) -> None:
        """Begin with all lanes free; ``root`` is the bundle, for errors."""
        self._lanes, self._root = lanes, root
        self._closed = False
        self._lock = threading.Lock()
        # Who waits does so in C, which Ctrl-C can end anywhere without harm.
        self._waiting: deque[SimpleQueue[OpenLane | None]] = deque()
        _queues.add(self)

    @property
    def lanes(self) -> list[OpenLane]:
        """All lanes; none once it is closed."""
        return self._lanes

    def take(self) -> OpenLane:
        """Return the free lane that is expected to be done first, or wait for one.

        Raises:
            EngineError: When the pool is closed.
        """
        with self._lock:
            if self._closed:
                raise self.closed()
            lane = self._soonest()
            if lane is not None:
                lane.in_flight += 1
                return lane
            place: SimpleQueue[OpenLane | None] = SimpleQueue()
            self._waiting.append(place)
        try:
            lane = place.get()
        except BaseException:  # Ctrl-C: what was handed over just then goes back
            self._leave(place)
            raise
        if lane is None:
            raise self.closed()
        return lane

    def join(self, lane: OpenLane) -> None:
        """Count one more run of a lane, free or not: its session lets it wait."""
        with self._lock:
            lane.in_flight += 1

    def give_back(self, lane: OpenLane, *, done: bool) -> None:
        """End a run, which counts if it has outputs, and hand its lane to who waits."""
        with self._lock:
            lane.runs += done
            lane.in_flight -= 1
            self._hand_out()

    def exchange(self, lanes: list[OpenLane]) -> list[OpenLane]:
        """Hand out other lanes from now on, and return the old ones.

        Raises:
            EngineError: When the pool is closed.
        """
        with self._lock:
            if self._closed:
                raise self.closed()
            old, self._lanes = self._lanes, lanes
            for lane in old:
                lane.retired = True
            self._hand_out()
        return old

    def close(self) -> list[OpenLane]:
        """Hand out nothing any more, and return the lanes; who waits gets an error."""
        with self._lock:
            self._closed = True
            lanes, self._lanes = self._lanes, []
            while self._waiting:
                self._waiting.popleft().put(None)
        return lanes

    def closed(self) -> EngineError:
        """What a closed pool says."""
        return EngineError(f"the pool on {self._root} is closed", hint="load the bundle again")

    def begin_again(self) -> None:
        """Forget the threads of the process that this one was forked from, which had lanes."""
        self._lock = threading.Lock()
        self._waiting.clear()
        for lane in self._lanes:
            lane.in_flight = 0

    def _soonest(self) -> OpenLane | None:
        """The lane with room that is expected to be done first; None where none has room."""
        best: OpenLane | None = None
        least = 0.0
        for lane in self._lanes:
            if lane.in_flight < lane.room and not lane.session.broken:
                ahead = (lane.in_flight + 1) / lane.rate
                if best is None or ahead < least:
                    best, least = lane, ahead
        if best is None and all(lane.session.broken for lane in self._lanes):
            return self._lanes[0]  # whose session says why
        return best

    def _hand_out(self) -> None:
        """Give lanes to who waits; called with the lock."""
        while self._waiting and (lane := self._soonest()) is not None:
            lane.in_flight += 1
            self._waiting.popleft().put(lane)

    def _leave(self, place: SimpleQueue[OpenLane | None]) -> None:
        with self._lock:
            if place in self._waiting:
                self._waiting.remove(place)
            elif not place.empty() and (lane := place.get()) is not None:
                lane.in_flight -= 1
                self._hand_out()


_queues: WeakSet[Queue] = WeakSet()


def _after_fork() -> None:
    for queue in _queues:
        queue.begin_again()


os.register_at_fork(after_in_child=_after_fork)
