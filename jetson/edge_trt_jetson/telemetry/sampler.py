# SPDX-License-Identifier: Apache-2.0
"""A thread that looks at a board at a bounded rate, keeps the last samples, and counts its cost.

::

    with Sampler(interval=0.1) as sampler:
        start = sampler.mark()
        work()
        end = sampler.mark()
    print(sampler.energy(start, end), sampler.overhead)
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from edge_trt_jetson.telemetry.energy import Energy, energy
from edge_trt_jetson.telemetry.reader import Reader
from edge_trt_jetson.telemetry.sample import Sample

FASTEST = 0.01
"""Shortest interval in seconds. The sensors average over longer times than that."""


class Sampler:
    """Samples in a thread of its own, from `start` to `stop`; a context manager.

    Attributes:
        interval: Seconds between two samples.
        skipped: Samples that were left out because the one before took too long, or because the
            system was too busy. Nothing is made up for later: the rate stays bounded.
    """

    def __init__(
        self,
        interval: float = 0.1,
        *,
        root: str | Path = "/",
        keep: int = 36_000,
        read: Callable[[], Sample] | None = None,
    ) -> None:
        """Prepare, without starting.

        Args:
            interval: Seconds between two samples, at least `FASTEST`.
            root: The machine to look at.
            keep: Most samples that are kept; the oldest go first. The default is an hour at 10 Hz.
            read: Gives a sample, in place of a `Reader` of `root`.

        Raises:
            ValueError: The interval is too short, or `keep` is below 2.
        """
        if not interval >= FASTEST:
            raise ValueError(f"interval {interval!r} s is shorter than {FASTEST} s")
        if keep < 2:
            raise ValueError(f"keep={keep} samples: an energy needs at least 2")
        self.interval = interval
        self.skipped = 0
        self._reader = Reader(root) if read is None else None
        self._read = self._reader.read if self._reader is not None else read
        self._samples: deque[Sample] = deque(maxlen=keep)
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._cpu_seconds = 0.0
        self._wall_seconds = 0.0

    def start(self) -> Sampler:
        """Take a first sample, and start the thread. Does nothing if it runs.

        Raises:
            ValueError: It was stopped already; make a new one.
        """
        if self._stopping.is_set():
            raise ValueError("a sampler that was stopped can't be started again: make a new one")
        if self._thread is None:
            self._take()
            self._thread = threading.Thread(
                target=self._run, name="edge_trt-telemetry", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """Take a last sample, and end the thread. Raises what ended it early, if anything."""
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        if self._reader is not None:
            self._reader.close()
        if self._failure is not None:
            raise self._failure

    def mark(self) -> float:
        """Take a sample in the calling thread, and return its time: a begin or an end for `energy`.

        Between two marks nothing has to be guessed at the ends. It takes as long as one look.
        """
        return self._take().time

    def samples(self) -> list[Sample]:
        """The samples that are kept, oldest first."""
        with self._lock:
            return list(self._samples)

    def latest(self) -> Sample | None:
        """The last sample; None before the start."""
        with self._lock:
            return self._samples[-1] if self._samples else None

    def energy(
        self, start: float = float("-inf"), end: float = float("inf"), rail: str = ""
    ) -> Energy:
        """Energy between two times of the monotonic clock, see `telemetry.energy`.

        Args:
            start: Begin; the oldest sample that is kept by default.
            end: End; the last sample by default.
            rail: Name of one rail; the whole board by default.
        """
        return energy(self.samples(), rail, start, end)

    @property
    def overhead(self) -> float:
        """CPU time of the thread, kernel included, as a share of one core since the start."""
        return self._cpu_seconds / self._wall_seconds if self._wall_seconds > 0 else 0.0

    def _take(self) -> Sample:
        assert self._read is not None
        with self._reading:  # one look at a time, so that samples stay in the order of their times
            sample = self._read()
            with self._lock:
                self._samples.append(sample)
        return sample

    def _run(self) -> None:
        begin = time.monotonic()
        due = begin + self.interval
        try:
            while not self._stopping.wait(max(due - time.monotonic(), 0.0)):
                self._take()
                now = time.monotonic()
                self._cpu_seconds, self._wall_seconds = time.thread_time(), now - begin
                due += self.interval
                if due < now:
                    late = int((now - due) / self.interval) + 1
                    self.skipped += late
                    due += late * self.interval
            self._take()
        except BaseException as error:
            self._failure = error
        finally:
            self._cpu_seconds = time.thread_time()
            self._wall_seconds = time.monotonic() - begin

    def __enter__(self) -> Sampler:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
