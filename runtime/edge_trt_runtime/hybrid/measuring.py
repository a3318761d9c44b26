# SPDX-License-Identifier: Apache-2.0
"""A run, call by call, with the time of every operation."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from edge_trt_runtime.hybrid.labels import name_of
from edge_trt_runtime.hybrid.schedule import HOST
from edge_trt_runtime.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.hybrid.prepared import Prepared
    from edge_trt_runtime.hybrid.recipe import Recipe


def timings_of_walk(
    device: Device,
    prepared: Prepared,
    recipe: Recipe,
    streams: Mapping[str, Any],
    values: list[Any],
) -> list[Timing]:
    """Walk a list of calls once, each operation after the one before it is over.

    What a device does is measured by events on its stream, so that queueing and waiting do not
    count; what the host does by its clock.

    Args:
        device: Makes the events.
        prepared: What runs.
        recipe: Its calls; none of them a graph's.
        streams: By lane.
        values: Of the run, its inputs set.

    Raises:
        EngineError: When a segment fails.
    """
    timer, timings = device.timer(), list[Timing]()
    begin = perf_counter()
    for op, calls, _ in recipe.operations(prepared.schedule.ops, values):
        stream = None if op.lane == HOST else streams[op.lane]
        start = perf_counter() - begin
        if stream is not None:
            timer.begin(stream)
        for call in calls:
            call()
        if stream is None:
            end = perf_counter() - begin
        else:
            timer.end(stream)
            stream.synchronize()
            end = start + timer.seconds()
        if op.kind not in ("meet", "finish"):
            timings.append(Timing(op.kind, op.lane, name_of(prepared, op), start, end))
    return timings
