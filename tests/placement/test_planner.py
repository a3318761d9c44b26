# SPDX-License-Identifier: Apache-2.0
"""Alternatives, objectives, cores and limits of the planner, on published and made-up graphs."""

from __future__ import annotations

import random
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from edge_trt.placement.graph import Graph, Value, Work
from edge_trt.placement.planner import (
    ALL_GPU,
    DLA_ONLY,
    LIMIT,
    MIXED,
    OBJECTIVES,
    PIPELINE,
    Alternative,
    ModePlan,
    Objective,
    Question,
    in_mode,
    plan,
    stages,
)
from edge_trt.placement.regions import in_order, regions
from tests.benchmarks.dla_rates import graph_of
from tests.benchmarks.planner import large_graph
from tests.placement.test_cost import machine
from tests.placement.test_planning import chain


def question(graph: Graph, objective: Objective = "latency", **rest: Any) -> Question:
    every = frozenset(range(len(graph.works)))
    given = {"allowed": every, "border": frozenset(), "cores": 2, "batch": 1, **rest}
    return Question(graph, ["int8"] * len(graph.works), objective=objective, **given)


def by_name(found: ModePlan) -> dict[str, Alternative]:
    return {a.name: a for a in found.alternatives}


CHOSEN = [
    ("retinanet-resnext50", "latency", "MAXN", ALL_GPU),
    ("retinanet-resnext50", "latency", "30W", MIXED),
    ("retinanet-resnext50", "latency", "15W", MIXED),
    ("retinanet-resnext50", "throughput", "MAXN", MIXED),
    ("retinanet-resnext50", "energy", "15W", MIXED),
    ("resnet50", "latency", "MAXN", ALL_GPU),
    ("resnet50", "energy", "MAXN", MIXED),
    ("resnet50", "throughput", "15W", MIXED),
]


@pytest.mark.parametrize(("model", "objective", "mode", "name"), CHOSEN)
def test_what_is_best(model: str, objective: Objective, mode: str, name: str) -> None:
    found = plan(question(graph_of(model), objective), machine(mode=mode))
    assert found.chosen.name == name
    assert [a.name for a in found.alternatives] == [ALL_GPU, MIXED, DLA_ONLY]
    assert all(a.figures is not None for a in found.alternatives)
    assert found.chosen.exact


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_chosen_one_is_best_by_its_objective(objective: Objective) -> None:
    found = plan(question(graph_of("ssd-resnet34"), objective), machine(mode="30W"))
    field = {"latency": "latency", "throughput": "rate", "energy": "own"}[objective]
    values = [getattr(a.figures, field) for a in found.alternatives]
    best = max(values) if objective == "throughput" else min(values)
    assert getattr(found.chosen.figures, field) == best


def test_together_the_accelerators_do_more_than_each_alone() -> None:
    found = by_name(plan(question(graph_of("resnet50"), "throughput"), machine()))
    mixed, gpu, dla = (found[n].figures for n in (MIXED, ALL_GPU, DLA_ONLY))
    assert mixed is not None
    assert gpu is not None
    assert dla is not None
    assert mixed.rate >= 0.98 * (gpu.rate + dla.rate)
    assert len(found[MIXED].streams) == 2
    assert sum(s.rate for s in found[MIXED].streams) == pytest.approx(mixed.rate)


def test_two_cores_have_twice_the_throughput_of_one() -> None:
    one, two = (
        by_name(plan(question(graph_of("resnet50"), cores=n), machine()))[DLA_ONLY] for n in (1, 2)
    )
    assert one.figures is not None
    assert two.figures is not None
    assert (one.cores, two.cores) == ("one", "split")
    assert two.figures.rate == pytest.approx(2 * one.figures.rate)
    assert two.figures.latency == one.figures.latency


def test_inferences_of_a_batch_count() -> None:
    graph = graph_of("resnet50")
    one = plan(question(graph), machine()).chosen.figures
    four = plan(question(graph.with_batch(4), batch=4), machine()).chosen.figures
    assert one is not None
    assert four is not None
    assert one.rate < four.rate < 4 * one.rate
    assert four.own < one.own


def test_everything_on_dla_when_asked_for() -> None:
    graph = graph_of("resnet50")
    found = plan(question(graph, only=True), machine())
    assert found.chosen.name == DLA_ONLY
    some = question(
        graph, only=True, allowed=frozenset(range(50)), obstacle="73 layers are refused"
    )
    assert by_name(plan(some, machine()))[DLA_ONLY].why == "73 layers are refused"
    last = len(graph.works) - 1
    border = question(graph, allowed=frozenset(range(last)), border=frozenset({last}))
    assert by_name(plan(border, machine()))[DLA_ONLY].figures is not None


def test_another_mode_has_other_figures_of_the_same_placements() -> None:
    asked = question(graph_of("retinanet-resnext50"), "throughput")
    planned = plan(asked, machine(mode="30W"))
    again = in_mode(asked, machine(mode="15W"), planned)
    for a, b in zip(planned.alternatives, again.alternatives, strict=True):
        assert a.labels == b.labels
        assert a.figures is not None
        assert b.figures is not None
        assert b.figures.latency > a.figures.latency
        assert b.figures.rate < a.figures.rate


def every_other(count: int) -> tuple[Graph, frozenset[int]]:
    """A row of layers of which a DLA takes every other, which would be far faster there."""
    works = tuple(
        Work(f"l{i}", "Convolution", 1, 10**6, 9, 64, 64, read=10, written=10) for i in range(count)
    )
    values = [Value(-1, (0,), 10)]
    values += [
        Value(i, (i + 1,) if i + 1 < count else (), 10, i + 1 == count) for i in range(count)
    ]
    return Graph(works, tuple(values)), frozenset(range(0, count, 2))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("layers", "cores"), [(20, 2), (40, 2), (90, 2), (40, 1)])
def test_no_core_has_more_loadables_than_allowed(
    layers: int, cores: int, objective: Objective
) -> None:
    """What an engine can't hold is not chosen, however fast; a pipeline of two is told of."""
    graph, allowed = every_other(layers)
    found = plan(question(graph, objective, allowed=allowed, cores=cores), machine(mode="15W"))
    for placement in (found.chosen, *found.chosen.streams):
        assert len(regions(found.problem, placement.labels)) <= LIMIT
    assert found.chosen.cores == ("split" if cores == 2 else "one")
    if objective != "throughput":
        assert len(regions(found.problem, found.chosen.labels)) == min(len(allowed), LIMIT)
    both = by_name(found).get(PIPELINE)
    assert (both is not None) == (cores == 2 and len(allowed) > LIMIT)
    if both is not None:
        parts = regions(found.problem, both.labels)
        assert len(parts) == min(len(allowed), 2 * LIMIT)
        first, second = stages(found.problem, parts)
        assert max(len(first), len(second)) <= LIMIT
        assert [*first, *second] == parts
        assert both.why.startswith("not built: an engine runs on one core")


@pytest.mark.parametrize("cores", [1, 2])
def test_only_is_not_possible_beyond_the_limit_of_a_core(cores: int) -> None:
    graph, allowed = every_other(2 * LIMIT + 1)
    border = frozenset(range(len(graph.works))) - allowed
    asked = question(graph, allowed=allowed, border=border, cores=cores, only=True)
    found = by_name(plan(asked, machine(mode="15W")))
    assert found[DLA_ONLY].why == f"more than {LIMIT} loadables on a core (G5)"


def test_stages_of_a_pipeline_are_balanced() -> None:
    problem = chain((1, 10), (1, inf), (1, 20), (1, inf), (1, 25), (1, inf), (1, 5))
    parts = regions(problem, frozenset({0, 2, 4, 6}))
    assert stages(problem, parts) == ([[0], [2]], [[4], [6]])


def test_regions_in_order_hold_every_layer_once() -> None:
    problem = chain((1, 10), (1, inf), (1, 20), (1, inf))
    assert in_order(problem, frozenset({0, 2})) == [
        (True, [0]), (False, [1]), (True, [2]), (False, [3]),
    ]  # fmt: skip


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_loadable_that_is_too_large_stays_on_the_gpu(objective: Objective) -> None:
    """In the second of two placements as in the first."""
    graph, _ = every_other(4)
    heavy = tuple(replace(work, weights=300 << 20) for work in graph.works)
    found = plan(question(Graph(heavy, graph.values), objective), machine(mode="15W"))
    for placement in (found.chosen, *found.chosen.streams):
        for part in regions(found.problem, placement.labels):
            total = sum(found.problem.graph.works[i].weights for i in part)
            assert total <= 512 << 20


@pytest.mark.parametrize("layers", [20, 40])
def test_a_core_holds_the_loadables_of_all_streams(layers: int) -> None:
    graph, allowed = every_other(layers)
    found = plan(question(graph, "throughput", allowed=allowed), machine(mode="30W"))
    mixed = by_name(found)[MIXED]
    assert mixed.figures is not None
    streams = mixed.streams or (mixed,)
    assert sum(len(regions(found.problem, s.labels)) for s in streams) <= LIMIT
    assert mixed.figures.loadables <= LIMIT


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_large_graphs_keep_the_limit(objective: Objective) -> None:
    graph, allowed = large_graph(400, random.Random(0), refused=0.08)
    found = plan(question(graph, objective, allowed=allowed), machine(mode="15W"))
    labels = found.chosen.labels
    assert labels <= allowed
    assert len(regions(found.problem, labels)) <= LIMIT
