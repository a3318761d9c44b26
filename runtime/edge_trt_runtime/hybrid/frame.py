# SPDX-License-Identifier: Apache-2.0
"""One run in flight: its memory, streams and events, and the list of calls that is a run.

The first run with certain shapes makes the list, one call after the other. The second captures
what lies together on the GPU as CUDA graphs. From the third on a run walks the list: it allocates
nothing, and waits for devices only where the host needs what they made.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar

from numpy import copyto

from edge_trt_runtime.hybrid.capturing import capture_stretches
from edge_trt_runtime.hybrid.exchange import Exchange, Lent
from edge_trt_runtime.hybrid.layers import layers_of_walk
from edge_trt_runtime.hybrid.making import Maker, settle
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
    from edge_trt_runtime.layers import RawTime
    from edge_trt_runtime.timing import Timing

    _Call = Callable[[], object]

_T = TypeVar("_T")

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
        self._exchange = Exchange(device, prepared, self._streams, blocks)
        self._blank: list[Any] = [None] * prepared.plan.slots
        self._values: list[Any] = [*self._blank]
        self._recipes: dict[Any, Recipe] = {}
        self._maker = Maker(
            device,
            prepared,
            self._exchange,
            self._values,
            self._streams,
            self._memory,
            self._pinned,
            self._scratch,
        )

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
            shapes = {slot: array.shape for slot, array in enumerate(inputs)}
            self._follow(key, recipe, shapes, lent or Lent())
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

    def _follow(
        self, key: Any, recipe: Recipe | None, shapes: dict[int, tuple[int, ...]], lent: Lent
    ) -> None:
        """Make or walk the list of calls for a key, and those that follow by its answers."""
        kept, start = self._recipes, 0
        while True:
            if recipe is None:
                if len(kept) >= KEPT_SHAPES:
                    kept.pop(next(iter(kept))).close()
                recipe = kept[key] = self._maker.make(start, shapes, lent)
            elif recipe.runs == 1:
                capture_stretches(self._device, self._prepared, self._streams, recipe)
                self._walk(recipe)
                recipe.settle(self._prepared.schedule.ops, self._prepared.results)
            else:
                self._walk(recipe)
            recipe.runs += 1
            if not recipe.asks:
                return
            kept, key, shapes = recipe.following, recipe.answers(), recipe.shapes_now()
            start = len(recipe.parts)
            recipe = kept.get(key)

    def profile(self, inputs: Sequence[Any]) -> list[Timing]:
        """Run once, call by call, and tell what each operation took until it was over.

        Inputs on the GPU are copied to the host first.

        Raises:
            EngineError: When a segment fails.
        """
        return self._walked(
            inputs,
            lambda recipe: timings_of_walk(
                self._device, self._prepared, recipe, self._streams, self._values
            ),
        )

    def layers(self, inputs: Sequence[Any], runs: int) -> dict[str, list[RawTime]]:
        """Run, and tell by segment what its layers take at the median of some runs.

        Raises:
            EngineError: When a segment fails.
        """
        return self._walked(
            inputs,
            lambda recipe: layers_of_walk(
                self._prepared, recipe, self._streams, self._values, runs
            ),
        )

    def _walked(self, inputs: Sequence[Any], walk: Callable[[Recipe], _T]) -> _T:
        """Walk through the calls of a run of these inputs, and give what the walk finds."""
        inputs = self._exchange.on_host(inputs)
        self.run(inputs)  # makes the list of calls, where there is none yet
        recipe = self._recipes[tuple([array.shape for array in inputs])]
        try:
            self._values[: len(inputs)] = inputs
            return walk(recipe)
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
        self._maker.close()
        self._streams.clear()
        self._memory.free()
        self._pinned.free()

    def _walk(self, recipe: Recipe) -> None:
        for slot, view in recipe.views:
            self._values[slot] = view
        for call in recipe.calls:
            call()

    def _settle(self) -> None:
        settle(self._streams)
