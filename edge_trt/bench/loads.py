# SPDX-License-Identifier: Apache-2.0
"""Loads: callers that run side by side for some seconds, and what the board takes meanwhile."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from edge_trt.bench.record import Block, Energy, Load, Summary
from edge_trt_jetson.telemetry.sampler import Sampler
from edge_trt_runtime.bench import LEAST_RUNS
from edge_trt_runtime.bench import Summary as Times

Call = Callable[[], object]
Told = Callable[[str, float, str], None]

BLOCKS = 30
"""Parts that a measurement is cut into; what it is worth is judged by how much they differ."""


def measured(sampler: Sampler, call: Call, callers: int, seconds: float, told: Told) -> Load:
    """One thing called by one caller or several."""
    name = "one caller" if callers == 1 else f"{callers} callers"
    return side_by_side(sampler, [call], callers, seconds, name, told)[1]


def side_by_side(
    sampler: Sampler,
    calls: Sequence[Call],
    callers: int,
    seconds: float,
    name: str,
    told: Told,
) -> tuple[list[Load], Load]:
    """Calls several things at the same time, each by callers of its own.

    Returns:
        The load of each, and all of them as one load. Energy is told of that alone: the board does
        not say what it took for which.

    Raises:
        EdgeTrtError: a call fails.
    """
    start = sampler.mark()
    times, elapsed = concurrently([c for c in calls for _ in range(callers)], seconds, name, told)
    each = [times[i : i + callers] for i in range(0, len(times), callers)]
    taken = energy(sampler, start, sampler.mark(), sum(map(len, times)))
    return [_load(group, elapsed, None) for group in each], _load(times, elapsed, taken)


def energy(sampler: Sampler, start: float, end: float, runs: int) -> Energy | None:
    """What each of some runs between two times took, or None where the board does not tell."""
    found = sampler.energy(start, end)
    if found.watts is None:
        return None
    rails = {r.name for sample in sampler.samples() for r in sample.rails}
    watts = {name: sampler.energy(start, end, name).watts or 0.0 for name in sorted(rails)}
    scale = (end - start) / found.seconds  # power in the gaps is taken for the mean
    each, spread = found.joules * scale / runs, None
    if not math.isnan(found.uncertainty):  # JSON has no such number
        spread = found.uncertainty * scale / runs
    return Energy(each, spread, found.watts, watts, found.missing)


@dataclass(slots=True)
class _Callers:
    """Threads that call until a time has come and each has called often enough, or one fails.

    Attributes:
        begin: when they began, by the performance counter.
        end: when none begins another call.
        least: calls of each in any case.
        stop: ends them before.
        left: one for each that has ended.
        entered: one for each that has begun.
        failures: what calls raised.
    """

    begin: float
    end: float
    least: int
    stop: threading.Event = field(default_factory=threading.Event)
    left: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    entered: list[bool] = field(default_factory=list[bool])
    failures: list[BaseException] = field(default_factory=list[BaseException])

    def work(self, call: Callable[[], object], mine: list[tuple[float, float]]) -> None:
        """What one thread does; start and length of each run go into `mine`."""
        self.entered.append(True)  # before it looks at `stop`: what enters later calls nothing
        try:
            while not self.stop.is_set():
                start = time.perf_counter()
                if start >= self.end and len(mine) >= self.least:
                    break
                call()
                mine.append((start - self.begin, time.perf_counter() - start))
        except BaseException as error:
            self.failures.append(error)
            self.stop.set()
        finally:
            self.left.release()


def concurrently(
    calls: Sequence[Call],
    seconds: float,
    name: str,
    told: Told,
    least: int = LEAST_RUNS,
) -> tuple[list[list[tuple[float, float]]], float]:
    """Calls each in a thread of its own, again and again; start and length of each run."""
    times: list[list[tuple[float, float]]] = [[] for _ in calls]
    begin = time.perf_counter()
    callers = _Callers(begin, begin + seconds, least)
    threads = [
        threading.Thread(target=callers.work, args=pair, daemon=True)
        for pair in zip(calls, times, strict=True)
    ]
    ended = 0
    try:
        for thread in threads:
            thread.start()
        while ended < len(threads):
            told(name, min(1.0, (time.perf_counter() - begin) / max(seconds, 1e-9)), "")
            ended += callers.left.acquire(timeout=0.1)
    finally:  # also after Ctrl-C: the session is closed next, and the interpreter may end
        callers.stop.set()
        # Not by Thread.join, which takes a thread for ended once it was interrupted (bpo-46726).
        while ended < len(callers.entered):
            ended += callers.left.acquire()
    if callers.failures:
        raise callers.failures[0]
    told(name, 1.0, "")
    return times, time.perf_counter() - begin


def _load(
    times: Sequence[Sequence[tuple[float, float]]], seconds: float, energy: Energy | None
) -> Load:
    runs = sorted(run for caller in times for run in caller)
    latency = Summary(*Times.of([length for _, length in runs]))
    return Load(len(times), len(runs), seconds, latency, _blocks(runs), energy)


def _blocks(runs: Sequence[tuple[float, float]]) -> list[Block]:
    """Consecutive runs, about as many in each block; by when they began."""
    count = min(BLOCKS, len(runs))
    bounds = [index * len(runs) // count for index in range(count + 1)]
    begins = [start for start, _ in runs] + [max(start + length for start, length in runs)]
    return [
        Block(b - a, begins[b] - begins[a], median(length for _, length in runs[a:b]) * 1e3)
        for a, b in pairwise(bounds)
    ]
