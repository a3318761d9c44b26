# SPDX-License-Identifier: Apache-2.0
"""A run, call by call, in which every segment tells what its layers take."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from edge_trt_runtime.executors import times_of_layers
from edge_trt_runtime.hybrid.schedule import HOST
from edge_trt_runtime.layers import RawTime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edge_trt_runtime.hybrid.arrays import DeviceCall
    from edge_trt_runtime.hybrid.prepared import Prepared
    from edge_trt_runtime.hybrid.recipe import Recipe


def layers_of_walk(
    prepared: Prepared,
    recipe: Recipe,
    streams: Mapping[str, Any],
    values: list[Any],
    runs: int,
) -> dict[str, list[RawTime]]:
    """Walk a list of calls once, repeating each segment.

    Args:
        prepared: What runs.
        recipe: Its calls; none of them a graph's.
        streams: By lane.
        values: Of the run, its inputs set.
        runs: How often segments are repeated for their layers.

    Raises:
        EngineError: When a segment fails.
    """
    times: dict[str, list[RawTime]] = {}
    for op, calls, bound in recipe.operations(prepared.schedule.ops, values):
        for call in calls:
            call()
        if op.lane != HOST:
            streams[op.lane].synchronize()
        if op.kind != "segment":
            continue
        step = prepared.plan.steps[op.subject]
        if bound is None:
            given = [values[slot] for slot in step.inputs]
            found = times_of_layers(prepared.host_executors[op.subject], given, runs)
        else:
            found = _on_device(bound, streams[op.lane].synchronize, runs)
        times[step.segment.name] = found
    return times


def _on_device(call: DeviceCall, synchronize: Callable[[], object], runs: int) -> list[RawTime]:
    tell = getattr(call, "layer_times", None)
    if tell is not None:
        return tell(synchronize, runs)
    took: list[float] = []
    for _ in range(runs):
        start = perf_counter()
        call.enqueue()
        synchronize()
        took.append(perf_counter() - start)
    return [RawTime("", median(took))]
