# SPDX-License-Identifier: Apache-2.0
"""The list of calls that is a run with certain input shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_trt_runtime.hybrid.schedule import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np

    from edge_trt_runtime.hybrid.arrays import Captured, DeviceCall
    from edge_trt_runtime.hybrid.schedule import Op
    from edge_trt_runtime.plan import Result


class Recipe:
    """What a run calls, and what that holds.

    Attributes:
        parts: Calls by operation, none of them a graph's.
        calls: All calls of a run in order, graphs among them once they are captured.
        bound: Segments bound to addresses.
        graphs: Captured stretches.
        views: Values that devices leave in pinned memory, by slot.
        stages: Places of inputs in pinned memory, by slot; these copies come first in a run.
        between: The shorter call of a segment of the host that reads what devices made, for
            devices: it needs no list of the run's values.
        queued: What follows the stages, where :attr:`copies` is known.
        copies: What makes the results, where devices make all of them, and each segment of the
            host is one of :attr:`between`.
        loose: Operations that no graph can hold: they copy arrays of the caller, which lie
            elsewhere in every run.
        runs: How often it ran.
        shapes: Of all values that are known when it ends, by slot.
        asks: What follows depends on the answers, which are known when it ends; without any it
            goes to the end of the run.
        told: Slots of outputs whose shapes are an answer, and the segment that tells them.
        following: Lists of the calls that follow, by answers.
        frame: Number of the frame that it is for.
    """

    def __init__(self, start: int = 0) -> None:
        """Begin an empty one at an operation."""
        self.start = start
        self.parts: list[list[Callable[[], object]]] = [[] for _ in range(start)]
        self.calls: list[Callable[[], object]] = []
        self.bound: list[DeviceCall] = []
        self.graphs: list[Captured] = []
        self.views: list[tuple[int, np.ndarray]] = []
        self.stages: list[tuple[np.ndarray, int]] = []
        self.between: dict[Callable[[], object], Callable[[], object]] = {}
        self.queued: list[Callable[[], object]] = []
        self.copies: list[Callable[[], np.ndarray]] | None = None
        self.loose: set[int] = set()
        self.shapes: dict[int, tuple[int, ...]] = {}
        self.asks: list[Callable[[], object]] = []
        self.told: tuple[Sequence[int], DeviceCall] | None = None
        self.following: dict[Any, Recipe] = {}
        self.runs = self.frame = 0

    def answers(self) -> tuple[object, ...]:
        """Return on what the calls that follow depend."""
        return tuple([ask() for ask in self.asks])

    def shapes_now(self) -> dict[int, tuple[int, ...]]:
        """Return the shapes of all values that are known after the last run."""
        if self.told is None:
            return {**self.shapes}
        slots, call = self.told
        return {**self.shapes, **dict(zip(slots, call.shapes, strict=True))}

    def operations(
        self, ops: Sequence[Op], values: list[Any]
    ) -> Iterator[tuple[Op, list[Callable[[], object]], DeviceCall | None]]:
        """Yield all operations of a run with their calls, for who makes each before the next one.

        Args:
            ops: The schedule.
            values: Get what devices leave in pinned memory.

        Yields:
            The operation, its calls, and the segment that it queues on a device.
        """
        recipe: Recipe | None = self
        while recipe is not None:
            for slot, view in recipe.views:
                values[slot] = view
            bound = iter(recipe.bound)
            for number in range(recipe.start, len(recipe.parts)):
                op = ops[number]
                queues = op.kind == "segment" and op.lane != HOST
                yield op, recipe.parts[number], next(bound) if queues else None
            recipe = recipe.following.get(recipe.answers()) if recipe.asks else None

    def settle(self, ops: Sequence[Op], results: Sequence[Result]) -> None:
        """Find the short way through a run, now that its calls stay as they are."""
        views = dict(self.views)
        on_host = sum(op.kind == "segment" and op.lane == HOST for op in ops)
        if (
            self.asks
            or on_host > len(self.between)
            or any(result.slot not in views or not result.copy for result in results)
        ):
            return
        self.queued = [self.between.get(call, call) for call in self.calls[len(self.stages) :]]
        self.copies = [views[result.slot].copy for result in results]

    def close(self) -> None:
        """Give back graphs and bound segments; nothing of them may be running."""
        self.copies = None
        for recipe in self.following.values():
            recipe.close()
        for graph in self.graphs:
            graph.free()
        for call in self.bound:
            call.close()
