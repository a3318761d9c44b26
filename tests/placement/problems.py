# SPDX-License-Identifier: Apache-2.0
"""Random small problems for the planner, and every placement of one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import inf

from hypothesis import strategies as st

from edge_trt.placement.graph import Graph, Value, Work
from edge_trt.placement.problem import Labels, Problem

MICRO = 1e-6


@st.composite
def problems(draw: st.DrawFn, most: int = 7, batches: int = 2) -> Problem:
    """Up to `most` layers of random costs, with values of several readers and outputs within."""
    count = draw(st.integers(1, most))
    works = tuple(Work(f"l{i}", "Convolution", draw(st.integers(1, batches))) for i in range(count))
    values = [Value(-1, tuple(sorted(draw(st.sets(st.integers(0, count - 1), min_size=1)))), 1)]
    for i in range(count):
        later = st.integers(i + 1, count - 1) if i + 1 < count else st.nothing()
        readers = tuple(sorted(draw(st.sets(later, max_size=3)))) if i + 1 < count else ()
        values.append(Value(i, readers, 1, not readers or draw(st.booleans())))
    seconds = st.integers(1, 40)
    gpu = [draw(seconds) * MICRO for _ in range(count)]
    dla = [inf if draw(st.integers(0, 4)) == 0 else draw(seconds) * MICRO for _ in range(count)]
    hop = [draw(st.integers(0, 20)) * MICRO for _ in values]
    product = [draw(st.integers(0, 4)) / 4 * second for second in gpu]
    return Problem(Graph(works, tuple(values)), gpu, dla, hop, [h / 2 for h in hop], product)


def every(problem: Problem) -> Iterator[Labels]:
    """All placements."""
    allowed = sorted(problem.allowed)
    for size in range(len(allowed) + 1):
        for chosen in combinations(allowed, size):
            yield frozenset(chosen)
