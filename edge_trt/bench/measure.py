# SPDX-License-Identifier: Apache-2.0
"""The measurement: warm up, one caller, as many as the device takes, and energy beside both."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np

from edge_trt.bench import machine
from edge_trt.bench.lanes import lanes_alone_and_together
from edge_trt.bench.loads import Told, concurrently, measured, side_by_side
from edge_trt.bench.record import Load, Record, Repeat, Summary
from edge_trt_jetson.telemetry.sampler import Sampler
from edge_trt_runtime.bench import Summary as Times
from edge_trt_runtime.bench import breakdown, sample_inputs
from edge_trt_runtime.bundle import OpenBundle
from edge_trt_runtime.checksums import file_entry
from edge_trt_runtime.opening import load
from edge_trt_runtime.paths import MANIFEST_NAME
from edge_trt_runtime.session import Session


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
        lanes: whether lanes of a bundle that has several are measured too.
        repeat: sessions, each of which loads the bundle anew.
    """

    seconds: float = 10.0
    warm_up: float = 1.0
    callers: int = 2
    device: str = "auto"
    cool_down: float | None = None
    interval: float = 0.1
    root: str = "/"
    dla_cores: tuple[int, ...] = ()
    lanes: bool = True
    repeat: int = 1

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
            run = partial(session.run, inputs)
            single = measured(sampler, run, 1, plan.seconds, told)
            saturated = measured(sampler, run, plan.callers, plan.seconds, told)
            parts = breakdown(session, inputs)
            places = {p.segment: p.lane for p in session.places}
        repeats = [_again(path, plan, sampler, told, index, n) for n in range(2, plan.repeat + 1)]
        lanes, problems = lanes_alone_and_together(session.bundle, plan, sampler, told)
        after = sampler.latest() or before
    samples = sampler.samples()
    facts = machine.conditions(before, after, plan.root)
    return Record(
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        bundle=_subject(session.bundle), places=places, machine=machine.describe(plan.root),
        conditions=facts, doubts=machine.still_hot(before, plan.cool_down)
        + machine.doubts(facts, samples, [Repeat(single, saturated), *repeats]) + problems
        + _idle_core(plan, index, places),
        load_ms=load_ms, first_ms=first_ms, single=single, saturated=saturated,
        stages=_records(parts[0]), segments=_records(parts[1]), lanes=lanes,
        readings=[machine.reading(sample, start) for sample in samples], repeats=repeats,
    )  # fmt: skip


def _again(path: str, plan: Plan, sampler: Sampler, told: Told, index: int, number: int) -> Repeat:
    """The loads of a further session."""

    def told_too(stage: str, fraction: float, note: str) -> None:
        told(f"{stage}, session {number}", fraction, note)

    with plan.open(path, index) as session:
        inputs = sample_inputs(session)
        _call(session, inputs, plan.warm_up, "warm-up", told_too)
        run = partial(session.run, inputs)
        return Repeat(
            measured(sampler, run, 1, plan.seconds, told_too),
            measured(sampler, run, plan.callers, plan.seconds, told_too),
        )


def together(paths: Sequence[str], plan: Plan, told: Told) -> tuple[list[Load], Load]:
    """Runs several bundles at once, each with its own callers.

    GPU and DLA work at the same time this way, one bundle for each, or both cores of the DLA.

    Returns:
        The load of each, and all of them as one, with its energy.

    Raises:
        EdgeTrtError: as `measure`.
    """
    with Sampler(plan.interval, root=plan.root) as sampler, ExitStack() as opened:
        loaded = (plan.open(path, index) for index, path in enumerate(paths))
        sessions = [opened.enter_context(session) for session in loaded]
        calls = [partial(session.run, sample_inputs(session)) for session in sessions]
        for call in calls:
            call()
        return side_by_side(sampler, calls, plan.callers, plan.seconds, "together", told)


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


def _call(
    session: Session, inputs: dict[str, np.ndarray], seconds: float, name: str, told: Told
) -> None:
    concurrently([partial(session.run, inputs)], seconds, name, told, least=3)


def _idle_core(plan: Plan, index: int, places: dict[str, str]) -> list[str]:
    """A sentence where a DLA core was asked for, and none was used."""
    if not plan.dla_cores or any(lane.startswith("dla") for lane in places.values()):
        return []
    where = " and ".join(dict.fromkeys(places.values())) or "host"
    core = plan.dla_cores[index]
    return [f"--dla-core {core} changed nothing: this bundle runs on {where} here, not on a DLA"]


def _records(found: dict[str, Times]) -> dict[str, Summary]:
    """The same as a record keeps it: with its names."""
    return {name: Summary(*times) for name, times in found.items()}


def _subject(bundle: OpenBundle) -> dict[str, str]:
    manifest = bundle.manifest
    digest = file_entry(os.path.join(bundle.root, MANIFEST_NAME)).sha256
    return {
        "path": bundle.root,
        "precision": manifest.precision,
        "producer": manifest.producer,
        "manifest": digest,
    }
