# SPDX-License-Identifier: Apache-2.0
"""Making a list of calls: each operation of a run is done for the first time, and written down."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import copyto

from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.hybrid.arrays import DeviceSpace, DeviceView
from edge_trt_runtime.hybrid.calls import run_between, run_on_host, stage
from edge_trt_runtime.hybrid.labels import label_of, label_of_wait
from edge_trt_runtime.hybrid.recipe import Recipe
from edge_trt_runtime.hybrid.schedule import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.cuda.device import Memory, PinnedMemory
    from edge_trt_runtime.hybrid.exchange import Exchange, Lent
    from edge_trt_runtime.hybrid.prepared import Prepared
    from edge_trt_runtime.hybrid.schedule import Op

    _Call = Callable[[], object]


class Maker:
    """Makes a frame's lists of calls; the device must be current."""

    def __init__(
        self,
        device: Device,
        prepared: Prepared,
        exchange: Exchange,
        values: list[Any],
        streams: Mapping[str, Any],
        memory: Memory,
        pinned: PinnedMemory,
        scratch: Mapping[str, int],
    ) -> None:
        """Look up what lists are made of.

        Args:
            device: The GPU.
            prepared: What runs.
            exchange: Moves arrays of the caller.
            values: Of a run, by slot.
            streams: By lane.
            memory: Of the frame, on the GPU.
            pinned: Of the frame, page-locked.
            scratch: By lane: address of what its segments use while they run.
        """
        self._device = device
        self._prepared = prepared
        self._exchange = exchange
        self._values = values
        self._streams = streams
        self._memory = memory
        self._pinned = pinned
        self._scratch = scratch
        self._events: dict[int, Any] = {
            number: device.event() for number, op in enumerate(prepared.schedule.ops) if op.signals
        }
        self._host_reads = _host_reads(prepared)
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._lent: dict[int, int] = {}
        self._staying: dict[int, bool] = {}
        self._number, self._label = next(prepared.numbers), ""

    def close(self) -> None:
        """Let go of events and values."""
        self._events.clear()

    def make(self, start: int, shapes: dict[int, tuple[int, ...]], lent: Lent) -> Recipe:
        """Run, and write down what was called, up to where values decide what follows.

        Args:
            start: The operation that it begins with.
            shapes: Of all values so far, by slot.
            lent: What it does with arrays on the GPU.
        """
        self._lent, self._staying = dict(lent.inputs), dict(lent.results)
        self._shapes = shapes
        recipe = Recipe(start)
        ops = self._prepared.schedule.ops
        try:
            while len(recipe.parts) < len(ops) and not recipe.asks:
                number = len(recipe.parts)
                self._add(recipe, number, ops[number])
                self._ask(recipe, number)
        except BaseException:
            settle(self._streams)
            recipe.close()
            raise
        recipe.calls = [call for part in recipe.parts for call in part]
        recipe.frame = self._number
        recipe.shapes = {**self._shapes}
        return recipe

    def _ask(self, recipe: Recipe, number: int) -> None:
        """End a list after an operation, if what follows depends on values."""
        prepared = self._prepared
        op, *more = prepared.schedule.ops[number : number + 2]
        if op.kind == "segment" and op.subject in prepared.variable:
            call = recipe.bound[-1]
            recipe.told = (prepared.plan.steps[op.subject].outputs, call)
            recipe.asks.append(lambda: tuple(call.shapes))
        for following in more:
            slots = prepared.host_inputs(following)
            recipe.asks += [self._pinned_view(slot).tobytes for slot in slots]

    def _add(self, recipe: Recipe, number: int, op: Op) -> None:
        """Make the calls of an operation, and do them."""
        part: list[_Call] = []
        recipe.parts.append(part)
        for other in op.waits:
            self._label = label_of_wait(self._prepared, other, self._number)
            event = self._events.get(other)
            if event is None:
                lane = self._prepared.schedule.ops[other].lane
                self._do(part, self._streams[lane].synchronize)
            elif op.lane == HOST:
                self._do(part, event.synchronize)
            else:
                self._do(part, partial(self._device.wait, self._streams[op.lane], event))
        self._label = label_of(self._prepared, [op], self._number)
        if op.kind not in ("meet", "finish"):
            make = getattr(self, f"_make_{op.kind}")
            make(recipe, part, op)
        if op.signals:
            self._do(part, partial(self._events[number].record, self._streams[op.lane]))

    def _do(self, part: list[_Call], call: _Call) -> None:
        call = self._prepared.mark(self._label, call)
        call()
        part.append(call)

    def _make_stage(self, recipe: Recipe, part: list[_Call], op: Op) -> None:
        if op.subject in self._lent:
            if op.subject in self._prepared.mapped and not self._lent[op.subject]:
                pointer = self._pointer(op.subject)
                self._do(part, partial(self._exchange.copy_in_now, op.subject, pointer))
            return
        view = self._pinned_view(op.subject)
        self._do(part, partial(stage, view, self._values, op.subject))
        recipe.stages.append((view, op.subject))

    def _make_upload(self, recipe: Recipe, part: list[_Call], op: Op) -> None:
        if op.subject in self._lent:
            self._make_copy_in(recipe, part, op)
            return
        pointer, view = self._pointer(op.subject), self._pinned_view(op.subject)
        self._do(part, partial(self._device.upload, pointer, view, self._streams[op.lane]))

    def _make_copy_in(self, recipe: Recipe, part: list[_Call], op: Op) -> None:
        """Copy an input within the GPU, from where this run has it; no graph can hold that."""
        if self._lent[op.subject]:
            return  # it is read where it lies
        pointer, stream = self._pointer(op.subject), self._streams[op.lane]
        recipe.loose.add(len(recipe.parts) - 1)
        self._do(part, partial(self._exchange.copy_in, op.subject, pointer, stream))

    def _make_download(self, recipe: Recipe, part: list[_Call], op: Op) -> None:
        pointer = self._pointer(op.subject)
        if op.subject in self._staying:
            slot, stream = op.subject, self._streams[op.lane]
            shape, dtype = self._shapes[slot], self._prepared.dtypes[slot]
            recipe.loose.add(len(recipe.parts) - 1)
            copy_out = self._exchange.copy_out
            self._do(part, partial(copy_out, slot, shape, dtype, pointer, stream))
            if not self._staying[slot]:
                return
        view = self._pinned_view(op.subject)
        self._do(part, partial(self._device.download, view, pointer, self._streams[op.lane]))
        self._show(recipe, op.subject, view)

    def _make_segment(self, recipe: Recipe, part: list[_Call], op: Op) -> None:
        if op.lane == HOST:
            self._make_host_segment(recipe, part, op)
            return
        step = self._prepared.plan.steps[op.subject]
        inputs = [self._view(slot, op.subject) for slot in step.inputs]
        outputs = [self._space(slot, op.subject) for slot in step.outputs]
        executor = self._prepared.device_executors[op.subject]
        stream = int(self._streams[op.lane].handle)
        call = executor.bind(inputs, outputs, stream, self._scratch[op.lane])
        recipe.bound.append(call)
        self._do(part, call.enqueue)
        for slot, shape in zip(step.outputs, call.shapes, strict=True):
            self._shapes[slot] = shape
            if slot in self._prepared.mapped:
                self._show(recipe, slot, self._pinned_view(slot))

    def _make_host_segment(self, recipe: Recipe, part: list[_Call], op: Op) -> None:
        step = self._prepared.plan.steps[op.subject]
        executor = self._prepared.host_executors[op.subject]
        execute = self._prepared.mark(self._label, executor.run)
        values = self._values
        outputs = execute([values[slot] for slot in step.inputs])
        kept: list[tuple[int, np.ndarray | None]] = []
        for slot, output in zip(step.outputs, outputs, strict=True):
            self._shapes[slot] = output.shape
            handed_over = slot in self._prepared.pinned_layout.offsets
            view = self._pinned_view(slot) if handed_over else None
            kept.append((slot, view))
            values[slot] = output
            if view is not None:
                copyto(view, output)
        call = partial(run_on_host, execute, values, step.inputs, kept)
        part.append(call)
        shown = dict(recipe.views)
        places = [view for slot, view in kept if view is not None and slot not in self._host_reads]
        if shown.keys() >= {*step.inputs} and len(places) == len(kept):
            sources = [shown[slot] for slot in step.inputs]
            recipe.between[call] = partial(run_between, execute, sources, places)

    def _show(self, recipe: Recipe, slot: int, view: np.ndarray) -> None:
        """Let the host read a value that a device made."""
        recipe.views.append((slot, view))
        self._values[slot] = view

    def _pointer(self, slot: int) -> int:
        if self._lent.get(slot):
            return self._lent[slot]
        offset = self._prepared.device_layout.offsets.get(slot)
        if offset is not None:
            return self._memory.pointer + offset
        return self._pinned.pointer + self._prepared.pinned_layout.offsets[slot]

    def _view(self, slot: int, step: int) -> DeviceView:
        """Return a value as a step of a device reads it."""
        by_host = slot in self._prepared.by_host.get(step, ())
        return DeviceView(
            self._pointer(slot),
            self._shapes[slot],
            self._prepared.dtypes[slot],
            self._pinned_view(slot) if by_host else None,
        )

    def _space(self, slot: int, step: int) -> DeviceSpace:
        """Return room for a value that a step of a device makes."""
        prepared, room = self._prepared, None
        size = prepared.sizes[slot]
        if slot in prepared.by_host.get(step, ()):
            offset = prepared.pinned_layout.offsets[slot]
            room = self._pinned.array[offset : offset + size]
        return DeviceSpace(self._pointer(slot), size, prepared.dtypes[slot], room)

    def _pinned_view(self, slot: int) -> np.ndarray:
        """Return a value's place in pinned memory as an array of its shape in this run."""
        shape, dtype = self._shapes[slot], self._prepared.dtypes[slot]
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if size > self._prepared.sizes[slot]:
            raise EngineError(
                f"a value of shape {list(shape)} is larger than the bundle says it can be "
                f"({size} bytes, at most {self._prepared.sizes[slot]})",
                hint="build the bundle again",
            )
        offset = self._prepared.pinned_layout.offsets[slot]
        return np.ndarray(shape, dtype, self._pinned.array.data, offset)


def settle(streams: Mapping[str, Any]) -> None:
    """Wait for what is queued; after a failure nothing may still write to a frame's memory."""
    for stream in streams.values():
        try:
            stream.synchronize()
        except Exception:
            return


def _host_reads(prepared: Prepared) -> set[int]:
    """Return the slots that the host reads as values of the run."""
    slots = {result.slot for result in prepared.results}
    for number in prepared.host_executors:
        slots.update(prepared.plan.steps[number].inputs)
    return slots
