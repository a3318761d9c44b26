# SPDX-License-Identifier: Apache-2.0
"""Putting every stretch of calls that a CUDA graph can hold into one."""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edge_trt_runtime.hybrid.labels import label_of
from edge_trt_runtime.hybrid.stretches import find_stretches

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.hybrid.arrays import Captured
    from edge_trt_runtime.hybrid.prepared import Prepared
    from edge_trt_runtime.hybrid.recipe import Recipe

    _Call = Callable[[], object]

_capturing = threading.Lock()
"""One capture at a time in a process: PyTorch's allocator loses count where two overlap."""


def capture_stretches(
    device: Device, prepared: Prepared, streams: Mapping[str, Any], recipe: Recipe
) -> None:
    """Replace calls of a recipe by launches of graphs; a failure leaves them, with a warning."""
    if not prepared.use_graphs:
        return
    calls: list[_Call] = []
    done = 0
    ops, stop = prepared.schedule.ops, len(recipe.parts)
    loose = recipe.loose.union(range(recipe.start), range(stop, len(ops)))
    for stretch in find_stretches(ops, prepared.capturable, loose):
        calls += _flat(recipe, range(done, stretch.start))
        calls += _captured(device, prepared, streams, recipe, stretch)
        done = stretch.stop
    recipe.calls = calls + _flat(recipe, range(done, len(recipe.parts)))


def _flat(recipe: Recipe, numbers: range) -> list[_Call]:
    return [call for number in numbers for call in recipe.parts[number]]


def _captured(
    device: Device,
    prepared: Prepared,
    streams: Mapping[str, Any],
    recipe: Recipe,
    stretch: range,
) -> list[_Call]:
    """Return the launch of a stretch as a graph, or its calls where capturing fails."""
    ops = prepared.schedule.ops
    waits = recipe.parts[stretch.start][: len(ops[stretch.start].waits)]
    work = _flat(recipe, stretch)[len(waits) :]
    signal = [work.pop()] if ops[stretch.stop - 1].signals else []
    stream = streams[ops[stretch.start].lane]
    try:
        with _capturing, _uncollected():
            graph = _graph(device, prepared, work, stretch, stream)
    except Exception as error:
        prepared.give_up_graphs(error)
        return _flat(recipe, stretch)
    recipe.graphs.append(graph)
    launch = graph.launch
    if prepared.apart:
        launch = prepared.turns.in_turn(launch, device, stream, device.event())
    launch = prepared.mark(
        label_of(prepared, ops[stretch.start : stretch.stop], recipe.frame), launch
    )
    return [*waits, launch, *signal]


@contextmanager
def _uncollected() -> Generator[None]:
    """Keep Python from closing a lost session meanwhile: that ends a capture with an error."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _graph(
    device: Device, prepared: Prepared, work: list[_Call], stretch: range, stream: Any
) -> Captured:
    def queue() -> None:
        for call in work:
            call()

    for number in stretch:
        op = prepared.schedule.ops[number]
        if op.kind == "segment":
            executor = prepared.device_executors[op.subject]
            graph = executor.capture(queue, int(stream.handle))
            if graph is not None:
                return graph
    return device.capture(queue, stream)
