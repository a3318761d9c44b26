# SPDX-License-Identifier: Apache-2.0
"""One run in flight: its memory, streams and events, and the list of calls that is a run.

The first run with certain shapes makes the list, one call after the other. The second captures
what lies together on the GPU as CUDA graphs. From the third on a run walks the list: it allocates
nothing, and waits for devices only where the host needs what they made.
"""

from __future__ import annotations

from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import copyto

from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.hybrid.arrays import DeviceSpace, DeviceView
from edge_trt_runtime.hybrid.calls import run_between, run_on_host, stage
from edge_trt_runtime.hybrid.capturing import capture_stretches
from edge_trt_runtime.hybrid.exchange import Exchange, Lent
from edge_trt_runtime.hybrid.labels import label_of, label_of_wait
from edge_trt_runtime.hybrid.layers import layers_of_walk
from edge_trt_runtime.hybrid.measuring import timings_of_walk
from edge_trt_runtime.hybrid.recipe import Recipe
from edge_trt_runtime.hybrid.schedule import HOST
from edge_trt_runtime.inputs import Checked
from edge_trt_runtime.results import Target, deliver, stays_on_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.device_arrays import Blocks
    from edge_trt_runtime.hybrid.prepared import Prepared
    from edge_trt_runtime.hybrid.schedule import Op
    from edge_trt_runtime.layers import RawTime
    from edge_trt_runtime.timing import Timing

    _Call = Callable[[], object]

KEPT_SHAPES = 8
"""How many lists of calls, for as many sets of input shapes, a frame keeps."""


class Frame:
    """Runs a prepared bundle, one run at a time; the device must be current in every call."""

    def __init__(self, device: Device, prepared: Prepared, blocks: Blocks) -> None:
        """Allocate everything that runs need.

        Args:
            device: The GPU.
            prepared: What runs.
            blocks: Memory for results that stay on it.

        Raises:
            EngineError: When memory is short.
        """
        self._device = device
        self._prepared = prepared
        # Values first, then what the segments of each lane need, one after the other.
        scratch = prepared.scratch()
        offsets = [*accumulate(scratch.values(), initial=prepared.device_layout.size)]
        self._memory = device.memory(offsets.pop())
        self._scratch = {
            lane: self._memory.pointer + at for lane, at in zip(scratch, offsets, strict=True)
        }
        try:
            self._pinned = device.pinned(prepared.pinned_layout.size, mapped=bool(prepared.mapped))
        except BaseException:
            self._memory.free()
            raise
        lanes = dict.fromkeys(op.lane for op in prepared.schedule.ops if op.lane != HOST)
        self._streams: dict[str, Any] = {lane: device.stream() for lane in lanes}
        self._events: dict[int, Any] = {
            number: device.event() for number, op in enumerate(prepared.schedule.ops) if op.signals
        }
        self._exchange = Exchange(device, prepared, self._streams, blocks)
        self._lent: dict[int, int] = {}
        self._staying: dict[int, bool] = {}
        self._host_reads = _host_reads(prepared)
        self._blank: list[Any] = [None] * prepared.plan.slots
        self._values: list[Any] = [*self._blank]
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._recipes: dict[Any, Recipe] = {}
        self._number, self._label = next(prepared.numbers), ""

    def run(self, inputs: Sequence[Any], targets: Sequence[Target] = ()) -> list[Any]:
        """Run once; inputs, results and their targets in the order of the signature.

        Raises:
            EngineError: When a segment fails.
        """
        key = tuple([array.shape for array in inputs])
        recipe = self._recipes.get(key)
        if recipe is None or recipe.copies is None or targets or type(inputs) is Checked:
            return self._run(key, recipe, inputs, targets)
        # The steady state, as little Python as can be.
        try:
            for view, slot in recipe.stages:
                copyto(view, inputs[slot])
            for call in recipe.queued:
                call()
            return [copy() for copy in recipe.copies]
        except BaseException:
            self._settle()
            raise

    def _run(
        self,
        key: Any,
        recipe: Recipe | None,
        inputs: Sequence[Any],
        targets: Sequence[Target],
    ) -> list[Any]:
        """Run for the first times, with the host between, or with arrays of the caller."""
        values = self._values
        lent: Lent | None = None
        exchanging = type(inputs) is Checked or any(map(stays_on_device, targets))
        try:
            if exchanging:
                inputs, lent = self._exchange.admit(inputs, targets)
                if lent is not None:
                    key = (key, lent)
                    recipe = self._recipes.get(key)
            values[: len(inputs)] = inputs
            if recipe is None:
                recipe = self._first_run(key, inputs, lent or Lent())
            elif recipe.runs == 1:
                capture_stretches(self._device, self._prepared, self._streams, recipe)
                self._walk(recipe)
                recipe.settle(self._prepared.schedule.ops, self._prepared.results)
            else:
                self._walk(recipe)
            recipe.runs += 1
            if exchanging:
                return self._exchange.deliver(values)
            if targets:
                return deliver(values, self._prepared.results, targets)
            return [
                values[slot].copy() if copy else values[slot]
                for _, slot, copy in self._prepared.results
            ]
        except BaseException:
            self._settle()
            raise
        finally:
            values[:] = self._blank
            if exchanging:
                self._exchange.end()

    def profile(self, inputs: Sequence[Any]) -> list[Timing]:
        """Run once, call by call, and tell what each operation took until it was over.

        Inputs on the GPU are copied to the host first.

        Raises:
            EngineError: When a segment fails.
        """
        inputs = self._exchange.on_host(inputs)
        self.run(inputs)  # makes the list of calls, where there is none yet
        recipe = self._recipes[tuple([array.shape for array in inputs])]
        try:
            self._values[: len(inputs)] = inputs
            return timings_of_walk(
                self._device, self._prepared, recipe, self._streams, self._values
            )
        except BaseException:
            self._settle()
            raise
        finally:
            self._values[:] = self._blank

    def layers(self, inputs: Sequence[Any], runs: int) -> dict[str, list[RawTime]]:
        """Run, and tell by segment what its layers take at the median of some runs.

        Raises:
            EngineError: When a segment fails.
        """
        inputs = self._exchange.on_host(inputs)
        self.run(inputs)  # makes the list of calls, where there is none yet
        recipe = self._recipes[tuple([array.shape for array in inputs])]
        try:
            self._values[: len(inputs)] = inputs
            return layers_of_walk(self._prepared, recipe, self._streams, self._values, runs)
        except BaseException:
            self._settle()
            raise
        finally:
            self._values[:] = self._blank

    def close(self) -> None:
        """Give everything back, in the order that CUDA and TensorRT want."""
        self._settle()
        for recipe in self._recipes.values():
            recipe.close()
        self._recipes.clear()
        self._values.clear()
        self._events.clear()
        self._streams.clear()
        self._memory.free()
        self._pinned.free()

    def _walk(self, recipe: Recipe) -> None:
        for slot, view in recipe.views:
            self._values[slot] = view
        for call in recipe.calls:
            call()

    def _settle(self) -> None:
        """Wait for what is queued; after a failure nothing may still write to our memory."""
        for stream in self._streams.values():
            try:
                stream.synchronize()
            except Exception:
                return

    # making the list

    def _first_run(self, key: Any, inputs: Sequence[Any], lent: Lent) -> Recipe:
        """Run, and write down what was called."""
        self._lent, self._staying = dict(lent.inputs), dict(lent.results)
        if len(self._recipes) >= KEPT_SHAPES:
            self._recipes.pop(next(iter(self._recipes))).close()
        recipe = Recipe()
        self._shapes = {slot: array.shape for slot, array in enumerate(inputs)}
        try:
            for number, op in enumerate(self._prepared.schedule.ops):
                self._add(recipe, number, op)
        except BaseException:
            self._settle()
            recipe.close()
            raise
        recipe.calls = [call for part in recipe.parts for call in part]
        recipe.frame = self._number
        self._recipes[key] = recipe
        return recipe

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
        if op.kind != "finish":
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
        inputs = [
            DeviceView(self._pointer(slot), self._shapes[slot], self._prepared.dtypes[slot])
            for slot in step.inputs
        ]
        outputs = [
            DeviceSpace(self._pointer(s), self._prepared.sizes[s], self._prepared.dtypes[s])
            for s in step.outputs
        ]
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


def _host_reads(prepared: Prepared) -> set[int]:
    """Return the slots that the host reads as values of the run."""
    slots = {result.slot for result in prepared.results}
    for number in prepared.host_executors:
        slots.update(prepared.plan.steps[number].inputs)
    return slots
