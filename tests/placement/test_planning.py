# SPDX-License-Identifier: Apache-2.0
"""The planner's placements against every placement there is."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_trt.placement.graph import Graph, Value, Work
from edge_trt.placement.labelling import cheapest, cut
from edge_trt.placement.problem import LATENCY, Labels, Problem, Weights
from edge_trt.placement.regions import regions, too_large
from edge_trt.placement.streams import greatest
from tests.placement.problems import MICRO, every, problems

WEIGHTS = st.builds(Weights, *(st.sampled_from([0.0, 0.5, 1.0, 3.0]) for _ in range(5)))


@given(problems(), WEIGHTS)
@settings(max_examples=50, deadline=None)
def test_no_placement_is_cheaper(problem: Problem, weights: Weights) -> None:
    found = cut(problem, weights)
    best = min(problem.cost(labels, weights) for labels in every(problem))
    assert problem.cost(found, weights) == pytest.approx(best, rel=1e-6, abs=1e-12)


@given(problems(), st.integers(0, 2))
@settings(max_examples=50, deadline=None)
def test_no_placement_within_the_limit_is_cheaper(problem: Problem, limit: int) -> None:
    found = cheapest(problem, LATENCY, limit, effort=10_000)
    within = [labels for labels in every(problem) if len(regions(problem, labels)) <= limit]
    assert found.labels in within
    assert found.exact
    assert found.cost == pytest.approx(min(map(problem.cost, within)), rel=1e-6, abs=1e-12)


@given(problems(most=6), st.integers(1, 2))
@settings(max_examples=30, deadline=None)
def test_no_mix_of_placements_has_more_throughput(problem: Problem, cores: int) -> None:
    found = greatest(problem, cores, lambda weights: cheapest(problem, weights))
    assert found.exact
    busy = [(problem.gpu_busy(p), problem.dla_busy(p)) for p in every(problem)]
    assert found.rate == pytest.approx(_best_mix(busy, cores), rel=1e-4)
    for resource, room in ((problem.gpu_busy, 1.0), (problem.dla_busy, cores)):
        assert sum(s.rate * resource(s.labels) for s in found.streams) <= room * (1 + 1e-6)


def _best_mix(busy: list[tuple[float, float]], cores: int) -> float:
    """The best of every one and every two placements that share the accelerators."""

    def alone(gpu: float, dla: float) -> float:
        return min(1 / gpu if gpu else math.inf, cores / dla if dla else math.inf)

    best = max(alone(*pair) for pair in busy)
    for (g1, d1), (g2, d2) in combinations(busy, 2):
        determinant = g1 * d2 - g2 * d1
        if abs(determinant) > 1e-18:
            x, y = (d2 - g2 * cores) / determinant, (g1 * cores - d1) / determinant
            if x >= 0 and y >= 0:
                best = max(best, x + y)
    return best


@given(problems())
@settings(max_examples=50, deadline=None)
def test_regions_are_convex_and_of_one_batch(problem: Problem) -> None:
    for labels in every(problem):
        found = regions(problem, labels)
        assert sorted(i for region in found for i in region) == sorted(labels)
        for region in found:
            inside = set(region)
            reached = _after(problem, inside) - inside
            assert not inside & _after(problem, reached)
            assert len({problem.graph.works[i].batch for i in region}) == 1


def _after(problem: Problem, start: set[int]) -> set[int]:
    """Layers that follow those of `start`, on any way."""
    found: set[int] = set()
    for i, before in enumerate(problem.preceding):
        if any(p in start or p in found for p in before):
            found.add(i)
    return found


def chain(*costs: tuple[float, float], hop: float = 10, batches: tuple[int, ...] = ()) -> Problem:
    """Layers in a row with microseconds on GPU and DLA."""
    count = len(costs)
    works = tuple(
        Work(f"l{i}", "Convolution", batches[i] if batches else 1, weights=100, written=10)
        for i in range(count)
    )
    values = [Value(-1, (0,), 5)]
    values += [Value(i, (i + 1,) if i + 1 < count else (), 5, i + 1 == count) for i in range(count)]
    gpu, dla = ([pair[side] * MICRO for pair in costs] for side in (0, 1))
    passing = [hop * MICRO] * len(values)
    return Problem(Graph(works, tuple(values)), gpu, dla, passing, passing)


FAST, SLOW, NEVER = (30, 10), (10, 30), (10, math.inf)


@pytest.mark.parametrize(
    ("problem", "labels"),
    [
        (chain(FAST, FAST, FAST), {0, 1, 2}),
        (chain(SLOW, SLOW), set()),
        (chain(FAST, NEVER, FAST, hop=1), {0, 2}),
        (chain(FAST, NEVER, FAST, hop=15), set()),
        (chain(FAST, (10, 15), FAST, hop=11), {0, 1, 2}),
        (chain(FAST, FAST, (30, 25), hop=11, batches=(1, 1, 2)), {0, 1}),
    ],
)
def test_a_hop_is_worth_its_gain(problem: Problem, labels: set[int]) -> None:
    found = cheapest(problem)
    assert found.labels == labels
    assert found.cost == pytest.approx(problem.cost(frozenset(labels)))


def test_layers_of_another_batch_are_another_loadable() -> None:
    problem = chain(FAST, FAST, FAST, batches=(1, 1, 2))
    whole: Labels = frozenset({0, 1, 2})
    assert regions(problem, whole) == [[0, 1], [2]]
    assert problem.transitions(whole) == 3


def test_a_region_fits_into_its_pools() -> None:
    problem = chain(FAST, FAST)
    assert too_large(problem, [0, 1], 1) is None
    heavy = [Work("a", "Convolution", 1, weights=600 << 20), problem.graph.works[1]]
    values = problem.graph.values
    assert too_large(_with(problem, heavy, values), [0, 1], 1) == "G8"
    wide = [Value(v.producer, v.readers, 1 << 29, v.output) for v in values]
    assert too_large(_with(problem, list(problem.graph.works), wide), [0, 1], 2) == "G7"
    assert too_large(_with(problem, list(problem.graph.works), wide), [1], 2) is None


def _with(problem: Problem, works: list[Work], values: list[Value] | tuple[Value, ...]) -> Problem:
    graph = Graph(tuple(works), tuple(values))
    return Problem(graph, problem.gpu, problem.dla, problem.hop, problem.reformat)
