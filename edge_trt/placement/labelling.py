# SPDX-License-Identifier: Apache-2.0
"""The cheapest placement for given weights, with no more loadables than allowed.

Without the limit it is a cheapest cut between GPU and DLA, which is exact. Where that cut has too
many loadables, layers are fixed to one side or the other (branch and bound), with the cut as the
bound; dearer hops give the first placement that keeps the limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

from edge_trt.min_cut import FlowGraph
from edge_trt.placement.problem import LATENCY, Labels, Problem, Weights
from edge_trt.placement.regions import regions

GPU, DLA = "gpu", "dla"
_EPSILON = 1e-9  # relative: less is rounding


@dataclass(frozen=True, slots=True)
class Found:
    """A placement.

    Attributes:
        labels: the layers on DLA.
        cost: by the weights it was asked for.
        exact: whether no other placement within the limit is cheaper.
    """

    labels: Labels
    cost: float
    exact: bool = True


def cheapest(
    problem: Problem, weights: Weights = LATENCY, limit: int = 1 << 30, effort: int = 12
) -> Found:
    """The cheapest placement with at most `limit` loadables.

    Args:
        problem: the question.
        weights: what counts.
        limit: most loadables.
        effort: how many cuts may be solved beyond the first.
    """
    free = cut(problem, weights)
    if len(regions(problem, free)) <= limit:
        return Found(free, problem.cost(free, weights))
    return _Search(problem, weights, limit, effort).run(free)


def cut(
    problem: Problem,
    weights: Weights,
    fixed: Mapping[int, bool] | None = None,
    dearer: float = 0.0,
) -> Labels:
    """The cheapest placement without a limit.

    Args:
        problem: the question.
        weights: what counts.
        fixed: layers that must (True) or must not (False) be on DLA.
        dearer: what every hop costs in addition.
    """
    fixed = fixed or {}
    flow = FlowGraph()
    flow.add(GPU, DLA, 0.0)
    for i, (gpu, dla) in enumerate(zip(problem.gpu, problem.dla, strict=True)):
        on_gpu = inf if fixed.get(i) is True else weights.gpu * gpu
        on_dla = inf if fixed.get(i) is False or dla == inf else weights.dla * dla
        least = 0.0 if inf in (on_gpu, on_dla) else min(on_gpu, on_dla)
        flow.add(GPU, i, on_dla - least)
        flow.add(i, DLA, on_gpu - least)
    for number in range(len(problem.graph.values)):
        _add_value(flow, problem, number, problem.passing(number, weights) + dearer)
    return frozenset(i for i in flow.sink_side(GPU, DLA) if isinstance(i, int))


def _add_value(flow: FlowGraph, problem: Problem, number: int, cost: float) -> None:
    """What is paid when a value passes between the sides, once each way."""
    value = problem.graph.values[number]
    producer = value.producer if value.producer >= 0 else GPU
    same, other = problem.readers(value)
    for reader in other:  # paid when either is on DLA
        either = ("either", number, reader)
        flow.add(GPU, either, cost)
        flow.add(either, producer, inf)
        flow.add(either, reader, inf)
    if same:
        _into_dla(flow, number, producer, same, cost)
    if producer == GPU:
        return
    if value.output:
        flow.add(GPU, producer, cost)
    elif len(same) == 1:
        flow.add(same[0], producer, cost)
    elif same:
        out = ("out", number)
        flow.add(out, producer, cost)
        for reader in same:
            flow.add(reader, out, inf)


def _into_dla(
    flow: FlowGraph, number: int, producer: int | str, same: list[int], cost: float
) -> None:
    if len(same) == 1:
        flow.add(producer, same[0], cost)
        return
    entry = ("in", number)
    flow.add(producer, entry, cost)
    for reader in same:
        flow.add(entry, reader, inf)


class _Search:
    """Branch and bound over layers that are fixed to one side."""

    def __init__(self, problem: Problem, weights: Weights, limit: int, effort: int) -> None:
        self._problem = problem
        self._weights = weights
        self._limit = limit
        self._effort = effort
        self._best = Found(frozenset(), problem.cost(frozenset(), weights))

    def run(self, free: Labels) -> Found:
        """The best placement within the limit, starting from the one without."""
        self._with_dearer_hops()
        bound = self._problem.cost(free, self._weights)
        queue: list[tuple[float, dict[int, bool], Labels]] = [(bound, {}, free)]
        while queue and self._effort > 0:
            queue.sort(key=lambda entry: -entry[0])
            bound, fixed, labels = queue.pop()
            if bound >= self._best.cost * (1 - _EPSILON):
                queue.clear()
                break
            place = self._branch(labels, fixed)
            if place is None:
                continue
            for side in (False, True):
                self._try({**fixed, place: side}, queue)
        open_bounds = [bound for bound, _, _ in queue]
        exact = all(bound >= self._best.cost * (1 - _EPSILON) for bound in open_bounds)
        return replace(self._best, exact=exact)

    def _try(
        self, fixed: dict[int, bool], queue: list[tuple[float, dict[int, bool], Labels]]
    ) -> None:
        self._effort -= 1
        labels = cut(self._problem, self._weights, fixed)
        bound = self._problem.cost(labels, self._weights)
        if bound >= self._best.cost * (1 - _EPSILON):
            return
        if len(regions(self._problem, labels)) <= self._limit:
            self._best = Found(labels, bound)
        else:
            queue.append((bound, fixed, labels))

    def _branch(self, labels: Labels, fixed: dict[int, bool]) -> int | None:
        """A layer that is not fixed: of the smallest loadable, or beside one."""
        for region in sorted(regions(self._problem, labels), key=len):
            for i in region:
                if i not in fixed:
                    return i
        rest = self._problem.allowed - fixed.keys()
        return min(rest, default=None)

    def _with_dearer_hops(self) -> None:
        """A placement within the limit, by hops that cost more and more."""
        high = sum(self._problem.gpu) * self._weights.gpu
        low = 0.0
        for _ in range(8):
            middle = (low + high) / 2
            labels = cut(self._problem, self._weights, dearer=middle)
            if len(regions(self._problem, labels)) > self._limit:
                low = middle
                continue
            high = middle
            cost = self._problem.cost(labels, self._weights)
            if cost < self._best.cost:
                self._best = Found(labels, cost)
