# SPDX-License-Identifier: Apache-2.0
"""The cheapest cut against all cuts."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from edge_trt.min_cut import FlowGraph

NODES = range(5)
ENDS = st.sampled_from(["source", "sink", *NODES])
EDGES = st.lists(st.tuples(ENDS, ENDS, st.integers(0, 9)), max_size=14)


def cost(edges: list[tuple[object, object, float]], sink_side: set[object]) -> float:
    return sum(c for tail, head, c in edges if tail not in sink_side and head in sink_side)


@given(EDGES)
def test_no_cut_is_cheaper_and_none_as_cheap_is_smaller(
    edges: list[tuple[object, object, float]],
) -> None:
    graph = FlowGraph()
    for edge in edges:
        graph.add(*edge)
    found = graph.sink_side("source", "sink")
    assert "sink" in found
    assert "source" not in found
    every = [
        {"sink", *chosen}
        for size in range(len(NODES) + 1)
        for chosen in itertools.combinations(NODES, size)
    ]
    least = min(cost(edges, side) for side in every)
    assert cost(edges, found) == least
    assert len(found) == min(len(side) for side in every if cost(edges, side) == least)


def test_infinite_edges_hold() -> None:
    graph = FlowGraph()
    for edge in (("s", 1, 2.0), (1, "t", math.inf), ("s", 2, 5.0), (2, 1, math.inf), (2, "t", 1.0)):
        graph.add(*edge)
    assert graph.sink_side("s", "t") == {1, 2, "t"}
