# SPDX-License-Identifier: Apache-2.0
"""The measurement: warm up, one caller, as many as the device takes, and energy beside both."""

from __future__ import annotations

import datetime
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from statistics import median

import numpy as np

from edge_trt.bench import machine
from edge_trt.bench.record import Block, Energy, Load, Record, Summary
from edge_trt_jetson.telemetry.sampler import Sampler
from edge_trt_runtime.bench import LEAST_RUNS, breakdown, sample_inputs
from edge_trt_runtime.bench import Summary as Times
from edge_trt_runtime.checksums import file_entry
from edge_trt_runtime.opening import load
from edge_trt_runtime.paths import MANIFEST_NAME
from edge_trt_runtime.session import Session

Told = Callable[[str, float, str], None]

BLOCKS = 30
"""Parts that a measurement is cut into; what it is worth is judged by how much they differ."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to measure.

    Attributes:
        seconds: of each load.
        warm_up: seconds before the first.
        callers: threads that saturate the device.
        device: as `edge_trt_runtime.load` takes it.
        cool_down: degrees Celsius to wait for before it starts; None does not wait.
        interval: seconds between two looks at the sensors.
        root: below which the files of the kernel are read.
        dla_cores: of the first bundle, the second, and so on, for plans that run on a DLA; the core
            that they were built on by default.
    """

    seconds: float = 10.0
    warm_up: float = 1.0
    callers: int = 2
    device: str = "auto"
    cool_down: float | None = None
    interval: float = 0.1
    root: str = "/"
    dla_cores: tuple[int, ...] = ()

    def open(self, path: str, index: int) -> Session:
        """Loads a bundle, which is one of several."""
        core = self.dla_cores[index] if self.dla_cores else None
        return load(path, device=self.device, frames=max(2, self.callers), dla_core=core)


def measure(path: str, plan: Plan, told: Told, index: int = 0) -> Record:
    """Measures a bundle.

    Args:
        path: the bundle.
        plan: how.
        told: called with (stage, fraction of it, note).
        index: which of several it is.

    Raises:
        EngineError: no engine runs here, or a run fails.
        BundleError: the bundle is damaged.
    """
    with Sampler(plan.interval, root=plan.root) as sampler:
        before = _rested(sampler, plan, told)
        start = time.monotonic()
        with plan.open(path, index) as session:
            load_ms = (time.monotonic() - start) * 1e3
            inputs = sample_inputs(session)
            first = time.perf_counter()
            session.run(inputs)
            first_ms = (time.perf_counter() - first) * 1e3
            _call(session, inputs, plan.warm_up, "warm-up", told)
            single = _measured(sampler, session, inputs, plan.seconds, 1, told)
            saturated = _measured(sampler, session, inputs, plan.seconds, plan.callers, told)
            parts = breakdown(session, inputs)
            places = {p.segment: p.lane for p in session.places}
            bundle = _subject(session)
        after = sampler.latest() or before
    samples = sampler.samples()
    facts = machine.conditions(before, after, plan.root)
    return Record(
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        bundle=bundle, places=places, machine=machine.describe(plan.root), conditions=facts,
        doubts=machine.still_hot(before, plan.cool_down)
        + machine.doubts(facts, samples, [single, saturated]), load_ms=load_ms,
        first_ms=first_ms, single=single, saturated=saturated, stages=_records(parts[0]),
        segments=_records(parts[1]),
        readings=[machine.reading(sample, start) for sample in samples],
    )  # fmt: skip


def together(paths: Sequence[str], plan: Plan, told: Told) -> list[Load]:
    """Runs several bundles at once, each with its own callers; gives the load of each.

    GPU and DLA work at the same time this way, one bundle for each, or both cores of the DLA.

    Raises:
        EdgeTrtError: as `measure`.
    """
    with ExitStack() as opened:
        loaded = (plan.open(path, index) for index, path in enumerate(paths))
        sessions = [opened.enter_context(session) for session in loaded]
        inputs = [sample_inputs(session) for session in sessions]
        pairs = zip(sessions, inputs, strict=True)
        calls = [partial(s.run, i) for s, i in pairs for _ in range(plan.callers)]
        for call in calls:
            call()
        times, seconds = _concurrently(calls, plan.seconds, "together", told)
        groups = [times[i * plan.callers : (i + 1) * plan.callers] for i in range(len(paths))]
        return [_load(group, seconds, None) for group in groups]


def _rested(sampler: Sampler, plan: Plan, told: Told) -> machine.Sample:
    """The state before, once the board is as cool as asked; two looks, since load needs two."""
    time.sleep(2 * sampler.interval)
    latest = sampler.latest
    if plan.cool_down is not None:
        told("cool-down", 0.0, f"to {plan.cool_down:g} C")
        machine.cool_down(lambda: _sample(latest), plan.cool_down)
        told("cool-down", 1.0, "")
    return _sample(latest)


def _sample(latest: Callable[[], machine.Sample | None]) -> machine.Sample:
    found = latest()
    assert found is not None, "a sampler that was started has a sample"
    return found


def _measured(
    sampler: Sampler,
    session: Session,
    inputs: dict[str, np.ndarray],
    seconds: float,
    callers: int,
    told: Told,
) -> Load:
    name = "one caller" if callers == 1 else f"{callers} callers"
    start = sampler.mark()
    calls = [partial(session.run, inputs)] * callers
    times, elapsed = _concurrently(calls, seconds, name, told)
    runs = sum(len(t) for t in times)
    return _load(times, elapsed, _energy(sampler, start, sampler.mark(), runs))


def _energy(sampler: Sampler, start: float, end: float, runs: int) -> Energy | None:
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


def _call(
    session: Session, inputs: dict[str, np.ndarray], seconds: float, name: str, told: Told
) -> None:
    _concurrently([partial(session.run, inputs)], seconds, name, told, least=3)


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


def _concurrently(
    calls: Sequence[Callable[[], object]],
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


def _records(found: dict[str, Times]) -> dict[str, Summary]:
    """The same as a record keeps it: with its names."""
    return {name: Summary(*times) for name, times in found.items()}


def _blocks(runs: Sequence[tuple[float, float]]) -> list[Block]:
    """Consecutive runs, about as many in each block; by when they began."""
    count = min(BLOCKS, len(runs))
    bounds = [index * len(runs) // count for index in range(count + 1)]
    begins = [start for start, _ in runs] + [max(start + length for start, length in runs)]
    return [
        Block(b - a, begins[b] - begins[a], median(length for _, length in runs[a:b]) * 1e3)
        for a, b in pairwise(bounds)
    ]


def _subject(session: Session) -> dict[str, str]:
    manifest = session.manifest
    digest = file_entry(os.path.join(session.bundle.root, MANIFEST_NAME)).sha256
    return {
        "path": session.bundle.root,
        "precision": manifest.precision,
        "producer": manifest.producer,
        "manifest": digest,
    }
