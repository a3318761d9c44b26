# SPDX-License-Identifier: Apache-2.0
"""The cheapest placement for given weights, with no more loadables than allowed.

Without the limit it is a cheapest cut between GPU and DLA, which is exact. Where that cut has too
many loadables, layers are fixed to one side or the other (branch and bound), with the cut as the
bound; dearer hops give the first placement that keeps the limit.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
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
    if "cut" not in problem.cache:
        problem.cache["cut"] = _Edges(problem)
    edges: _Edges = problem.cache["cut"]
    return edges.cut(weights, fixed or {}, dearer)


class _Edges:
    """The flow graph of a problem: its edges are those of every cut, with other capacities."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._flow = FlowGraph()
        self._values: list[int] = []  # by edge beyond those of layers: a value, or -1 for infinity
        for i in range(len(problem.gpu)):
            self._flow.add(GPU, i, 0.0)
            self._flow.add(i, DLA, 0.0)
        for number in range(len(problem.graph.values)):
            self._add_value(number)

    def cut(self, weights: Weights, fixed: Mapping[int, bool], dearer: float) -> Labels:
        """The layers on the side of the DLA."""
        if not self._problem.gpu:
            return frozenset()
        passing = self._problem.passing
        costs = [passing(v, weights) + dearer for v in range(len(self._problem.graph.values))]
        costs.append(inf)  # at -1
        rest = (costs[v] for v in self._values)
        self._flow.refill(chain(self._of_layers(weights, fixed), rest))
        return frozenset(i for i in self._flow.sink_side(GPU, DLA) if isinstance(i, int))

    def _of_layers(self, weights: Weights, fixed: Mapping[int, bool]) -> Iterator[float]:
        for i, dla in enumerate(self._problem.dla):
            side = fixed.get(i)
            on_gpu = inf if side is True else self._problem.on_gpu(i, weights)
            on_dla = inf if side is False or dla == inf else weights.dla * dla
            least = 0.0 if inf in (on_gpu, on_dla) else min(on_gpu, on_dla)
            yield on_dla - least
            yield on_gpu - least

    def _edge(self, tail: Hashable, head: Hashable, value: int) -> None:
        self._flow.add(tail, head, 0.0)
        self._values.append(value)

    def _add_value(self, number: int) -> None:
        """What is paid when a value passes between the sides, once each way."""
        value = self._problem.graph.values[number]
        producer = value.producer if value.producer >= 0 else GPU
        same, other = self._problem.readers(number)
        for reader in other:  # paid when either is on DLA
            either = ("either", number, reader)
            self._edge(GPU, either, number)
            self._edge(either, producer, -1)
            self._edge(either, reader, -1)
        self._into_dla(number, producer, same)
        if producer == GPU:
            return
        if value.output:
            self._edge(GPU, producer, number)
        elif len(same) == 1:
            self._edge(same[0], producer, number)
        elif same:
            out = ("out", number)
            self._edge(out, producer, number)
            for reader in same:
                self._edge(reader, out, -1)

    def _into_dla(self, number: int, producer: int | str, same: list[int]) -> None:
        if len(same) == 1:
            self._edge(producer, same[0], number)
        elif same:
            entry = ("in", number)
            self._edge(producer, entry, number)
            for reader in same:
                self._edge(entry, reader, -1)


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
        self._with_best_regions(free)
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
        passing = [self._problem.passing(v, self._weights) for v in range(len(self._problem.hop))]
        usual = max(sum(passing) / len(passing), _EPSILON)
        low, high = -3, 12  # powers of two of a usual hop
        while high - low > 1:
            middle = (low + high) // 2
            labels = cut(self._problem, self._weights, dearer=usual * 2.0**middle)
            if len(regions(self._problem, labels)) > self._limit:
                low = middle
                self._with_best_regions(labels)
                continue
            high = middle
            self._offer(labels)

    def _with_best_regions(self, labels: Labels) -> None:
        """Keeps the loadables that gain most, and places what is left anew around them."""
        fixed: dict[int, bool] = {}
        for _ in range(3):
            parts = regions(self._problem, labels)
            gains = [self._gain(part, labels) for part in parts]
            order = sorted(range(len(parts)), key=lambda n: -gains[n])
            dropped = [i for n in order[self._limit :] for i in parts[n]]
            self._offer(labels - frozenset(dropped))
            fixed |= dict.fromkeys(dropped, False)
            labels = cut(self._problem, self._weights, fixed)
            if len(regions(self._problem, labels)) <= self._limit:
                self._offer(labels)
                return

    def _gain(self, part: list[int], labels: Labels) -> float:
        """What it would cost more to have a loadable on the GPU."""
        problem, weights = self._problem, self._weights
        without = labels - frozenset(part)
        layers = sum(problem.on_gpu(i, weights) - weights.dla * problem.dla[i] for i in part)
        touched = {v for i in part for v in problem.touching(i)}
        return layers + sum(
            problem.passing(v, weights) * (problem.passes(v, without) - problem.passes(v, labels))
            for v in touched
        )

    def _offer(self, labels: Labels) -> None:
        """Takes a placement that keeps the limit, if it is better."""
        cost = self._problem.cost(labels, self._weights)
        if cost < self._best.cost and len(regions(self._problem, labels)) <= self._limit:
            self._best = Found(labels, cost)
