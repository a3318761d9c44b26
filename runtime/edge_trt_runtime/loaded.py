# SPDX-License-Identifier: Apache-2.0
"""A bundle with its engines loaded: what a session runs, and changes for another at a reload."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from edge_trt_runtime.devices import find_device
from edge_trt_runtime.dtypes import NUMPY_DTYPES
from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.host import HostRunner
from edge_trt_runtime.inputs import InputChecker
from edge_trt_runtime.marks import all_of
from edge_trt_runtime.plan import make_plan
from edge_trt_runtime.tensorrt.budget import PlanOptions
from edge_trt_runtime.watchdog import Watchdog, WatchedRunner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.hybrid.memory import MemoryPlan
    from edge_trt_runtime.hybrid.place import Place
    from edge_trt_runtime.layers import RawTime
    from edge_trt_runtime.manifest import Manifest
    from edge_trt_runtime.marks import Mark
    from edge_trt_runtime.plan import Plan
    from edge_trt_runtime.results import Target
    from edge_trt_runtime.timing import Timing

log = logging.getLogger("edge_trt_runtime")


class Runner(Protocol):
    """Runs a plan; several threads may at once."""

    @property
    def memory(self) -> MemoryPlan | None:
        """What a run in flight takes on a GPU, or None on the host."""
        ...

    def run(self, inputs: list[Any], targets: Sequence[Target] = ()) -> list[Any]:
        """Run once; inputs, results and their targets in the order of the signature."""
        ...

    def profile(self, inputs: list[Any]) -> list[Timing]:
        """Run once, waiting for each operation, and tell what it took."""
        ...

    def layers(self, inputs: list[Any], runs: int) -> dict[str, list[RawTime]]:
        """Run some times without graphs, and tell by segment what its layers take."""
        ...

    def close(self) -> None:
        """Wait for runs in flight, and give everything back. Twice is fine."""
        ...

    def abandon(self) -> None:
        """Keep everything as it is for ever: a run hangs."""
        ...


class Options(NamedTuple):
    """How to load; see :func:`edge_trt_runtime.load`."""

    device: str
    threads: int | None
    frames: int
    graphs: bool
    memory_budget: int | None = None
    plans: PlanOptions = PlanOptions()
    watchdog: float | None = None
    nvtx: bool = False


class Loaded(NamedTuple):
    """Everything that a run needs; looked up once per run, so that it may be exchanged.

    Attributes:
        bundle: Where it comes from.
        checker: Checks the inputs of a run.
        names: Of outputs, in order.
        places: Where each segment runs; empty on the CPU.
        runner: Runs it.
        watchdog: Limits the time of a run, where that was asked for.
        gpu: Where arrays on a GPU have to be; None on the CPU.
    """

    bundle: OpenBundle
    checker: InputChecker
    names: list[str]
    places: list[Place]
    runner: Runner
    watchdog: Watchdog | None = None
    gpu: Device | None = None


def load_engines(bundle: OpenBundle, options: Options) -> Loaded:
    """Load an engine for every segment.

    Raises:
        EngineError: When there is none for this machine or in this stream, or a library is missing.
    """
    manifest = bundle.manifest
    _check_types(manifest)
    _check_stream(bundle, options.plans.stream)
    plan = make_plan(manifest)
    names = [result.name for result in plan.results]
    watchdog = None if options.watchdog is None else Watchdog(options.watchdog)
    mark = _mark(options, watchdog)
    found = None if options.device == "cpu" else _on_device(bundle, plan, options, mark)
    places, runner, gpu = found or ([], HostRunner(bundle, plan, options.threads, mark), None)
    if watchdog is not None:
        runner = WatchedRunner(runner, watchdog, options.frames if found else None)
    checker = InputChecker(manifest.signature, gpu)
    return Loaded(bundle, checker, names, places, runner, watchdog, gpu)


def _mark(options: Options, watchdog: Watchdog | None) -> Mark:
    """Return how calls of a run tell what they are."""
    marks: list[Mark] = [] if watchdog is None else [watchdog.mark]
    if options.nvtx:
        from edge_trt_runtime.nvtx import nvtx_mark

        marks.append(nvtx_mark())
    return all_of(marks)


def _on_device(
    bundle: OpenBundle, plan: Plan, options: Options, mark: Mark
) -> tuple[list[Place], Runner, Device] | None:
    """Return what runs a plan on a GPU, or None where ``auto`` finds no use for one."""
    device = find_device(options.device)
    if device is None:
        return None
    from edge_trt_runtime.hybrid.place import place_all
    from edge_trt_runtime.hybrid.runner import HybridRunner
    from edge_trt_runtime.tensorrt.shared import PLANS

    insist = options.device != "auto"
    with device:
        if options.memory_budget is not None:
            PLANS.limit(device.ordinal, options.memory_budget)
        placement = place_all(bundle, plan, device, options.plans, insist=insist)
    places = placement.places
    if not placement.uses_device:
        reasons = "; ".join(f"{p.segment}: {p.reason}" for p in places if p.reason)
        if not insist:
            log.info("nothing of %s runs on the GPU (%s)", bundle.root, reasons)
            return None
        raise EngineError(
            f"nothing of {bundle.root} runs on {device.describe()} ({reasons})",
            hint=f"finish it there with `edge_trt build {bundle.root}`, or use device='cpu'",
        )
    return places, HybridRunner(bundle, plan, placement, device, options, mark), device


def _check_stream(bundle: OpenBundle, stream: int) -> None:
    """Refuse a stream that no engine of the bundle is of; the first one is always there."""
    streams = sorted({1, *(engine.stream for engine in bundle.manifest.engines)})
    if stream not in streams:
        raise EngineError(
            f"{bundle.root} has no stream {stream}, its streams are {', '.join(map(str, streams))}",
            hint="build it with --dla auto --dla-objective throughput, which makes a second one "
            "where that pays",
        )


def _check_types(manifest: Manifest) -> None:
    """Refuse values that numpy can't hold, before a library says it in its own words."""
    specs = [("the signature", spec) for spec in manifest.signature.inputs]
    for segment in manifest.segments:
        specs += [(f"segment {segment.name!r}", spec) for spec in segment.tensors]
    for owner, spec in specs:
        if spec.dtype not in NUMPY_DTYPES:
            raise EngineError(
                f"value {spec.name!r} of {owner} is {spec.dtype}, which numpy lacks",
                hint="build the bundle with float32 or float16 inputs and outputs",
            )
