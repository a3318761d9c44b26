# SPDX-License-Identifier: Apache-2.0
"""Running a bundle on the host alone."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from edge_trt_runtime.executors import open_executor, times_of_layers
from edge_trt_runtime.marks import unmarked
from edge_trt_runtime.results import deliver
from edge_trt_runtime.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.layers import RawTime
    from edge_trt_runtime.marks import Mark
    from edge_trt_runtime.plan import Plan

    _Execute = Callable[[list[np.ndarray]], list[np.ndarray]]
    _Stage = tuple[_Execute, tuple[int, ...], tuple[int, ...], tuple[int, ...]]


class HostRunner:
    """One segment after the other in the calling thread; several threads may run at once."""

    memory = None  # libraries of the host have allocators of their own

    def __init__(
        self, bundle: OpenBundle, plan: Plan, threads: int | None, mark: Mark = unmarked
    ) -> None:
        """Load an engine for every segment.

        Raises:
            EngineError: When the bundle has none for this machine, or a library is missing.
        """
        self._blank: list[Any] = [None] * (plan.slots - len(bundle.manifest.signature.inputs))
        self._results = plan.results
        self._segments = [step.segment.name for step in plan.steps]
        self._executors = [open_executor(bundle, step, threads) for step in plan.steps]
        self._stages: tuple[_Stage, ...] = tuple(
            (
                mark(f"segment {step.segment.name!r} on the CPU", executor.run),
                step.inputs,
                step.outputs,
                step.dead,
            )
            for step, executor in zip(plan.steps, self._executors, strict=True)
        )

    def run(self, inputs: list[Any], targets: Sequence[Any] = ()) -> list[Any]:
        """Run once; inputs, results and their targets in the order of the signature."""
        values: list[Any] = inputs + self._blank
        for execute, sources, places, dead in self._stages:
            outputs = execute([values[slot] for slot in sources])
            for slot, value in zip(places, outputs):  # noqa: B905 (hot; executors give all)
                values[slot] = value
            for slot in dead:
                values[slot] = None
        if targets:
            return deliver(values, self._results, targets)
        return [values[slot].copy() if copy else values[slot] for _, slot, copy in self._results]

    def profile(self, inputs: list[np.ndarray]) -> list[Timing]:
        """Run once, and tell what each segment took."""
        values: list[Any] = inputs + self._blank
        timings: list[Timing] = []
        begin = perf_counter()
        for name, (execute, sources, places, _) in zip(self._segments, self._stages, strict=True):
            start = perf_counter()
            outputs = execute([values[slot] for slot in sources])
            timings.append(Timing("segment", "host", name, start - begin, perf_counter() - begin))
            for slot, value in zip(places, outputs, strict=True):
                values[slot] = value
        return timings

    def layers(self, inputs: list[Any], runs: int) -> dict[str, list[RawTime]]:
        """Run some times, and tell by segment what its layers take."""
        values: list[Any] = inputs + self._blank
        times: dict[str, list[RawTime]] = {}
        for name, executor, stage in zip(
            self._segments, self._executors, self._stages, strict=True
        ):
            given = [values[slot] for slot in stage[1]]
            times[name] = times_of_layers(executor, given, runs)
            for slot, value in zip(stage[2], stage[0](given), strict=True):
                values[slot] = value
        return times

    def close(self) -> None:
        """Do nothing: engines go with the last run that uses them."""

    def abandon(self) -> None:
        """Do nothing: what hangs holds its engine."""
