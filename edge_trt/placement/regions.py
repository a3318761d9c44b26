# SPDX-License-Identifier: Apache-2.0
"""Convex regions of a placement: each becomes one loadable.

Layers go into phases that alternate between GPU and DLA along every way through the graph, so that
no way leaves a region and comes back. A phase on DLA falls into the parts that hang together and
have one batch size.
"""

from __future__ import annotations

from edge_trt.placement.problem import Labels, Problem
from edge_trt.placement.rules import NON_IO_BYTES, WEIGHT_BYTES


def regions(problem: Problem, labels: Labels) -> list[list[int]]:
    """The loadables of a placement, each as numbers of layers in execution order."""
    phases = _phases(problem, labels)
    parent = {i: i for i in labels}

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i in labels:
        for before in problem.preceding[i]:
            if before in labels and phases[before] == phases[i]:
                parent[root(i)] = root(before)
    found: dict[int, list[int]] = {}
    for i in sorted(labels):
        found.setdefault(root(i), []).append(i)
    return sorted(found.values(), key=lambda region: (phases[region[0]], region[0]))


def in_order(problem: Problem, labels: Labels) -> list[tuple[bool, list[int]]]:
    """All layers as regions in the order in which they can run; True for a loadable.

    What runs on the GPU between two phases of DLA is one region.
    """
    phases = _phases(problem, labels)
    between: dict[int, list[int]] = {}
    for i, phase in enumerate(phases):
        if i not in labels:
            between.setdefault(phase, []).append(i)
    parts = [(phases[part[0]], True, part) for part in regions(problem, labels)]
    parts += [(phase, False, part) for phase, part in between.items()]
    return [(dla, part) for _, dla, part in sorted(parts)]


def _phases(problem: Problem, labels: Labels) -> list[int]:
    """Even numbers on the GPU, odd ones on DLA; never falling along a way."""
    works = problem.graph.works
    phases: list[int] = []
    for i, before in enumerate(problem.preceding):
        odd = i in labels
        phase = int(odd)
        for p in before:
            least = phases[p]
            if (p in labels) != odd:
                least += 1
            elif odd and works[p].batch != works[i].batch:
                least += 2
            phase = max(phase, least)
        phases.append(phase)
    return phases


def too_large(problem: Problem, region: list[int], element_bytes: int) -> str | None:
    """The statement (G7, G8) that a region breaks, or None.

    Args:
        problem: where it is.
        region: numbers of its layers.
        element_bytes: 1 in int8, 2 in fp16.
    """
    inside = set(region)
    works = problem.graph.works
    if sum(works[i].weights for i in region) * element_bytes > WEIGHT_BYTES:
        return "G8"
    inner = sum(
        value.elements
        for value in problem.graph.values
        if value.producer in inside and not value.output and inside.issuperset(value.readers)
    )
    return "G7" if inner * element_bytes >= NON_IO_BYTES else None
