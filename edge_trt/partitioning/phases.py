# SPDX-License-Identifier: Apache-2.0
"""As few blocks as the order of the calls allows.

Calls are sorted into phases that alternate between device and host: a call belongs to the phase of
the latest value that it reads, or to the next one if that is on the other side. All calls of a
phase are one block, also those that have nothing to do with each other: the heads of a detector
cross the border together and not one after the other. Values never go back a phase, so blocks are
convex, and there are no more of them than the longest alternation needs.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

import torch
from torch import fx

from edge_trt.partitioning.support import computes


@dataclass(slots=True)
class Phase:
    """Calls that run together, on the host or on the device."""

    on_host: bool
    calls: list[fx.Node]

    @property
    def size(self) -> int:
        """How many calls compute tensors."""
        return sum(map(computes, self.calls))


def split(graph: fx.Graph, on_host: Container[fx.Node]) -> list[Phase]:
    """All calls of a graph, phase by phase.

    Args:
        graph: a lowered graph.
        on_host: the calls that run on the host. Sizes go where their operands are.
    """
    device_first, host_first = (_phases(graph, on_host, first) for first in (0, 1))
    return device_first if len(device_first) <= len(host_first) else host_first


def _phases(graph: fx.Graph, on_host: Container[fx.Node], first: int) -> list[Phase]:
    """The phases if the even ones are on the device, with `first` the odd ones."""
    numbers: dict[fx.Node, int] = {}
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        number = max((numbers[n] for n in node.all_input_nodes if n in numbers), default=0)
        if computes(node) or node in on_host:
            number += (number + first + (node in on_host)) % 2
        numbers[node] = number
    for node in reversed(numbers):
        if is_fraction(node):
            readers = [numbers[user] for user in node.users if user in numbers]
            numbers[node] = min(readers, default=numbers[node])
    calls: dict[int, list[fx.Node]] = {}
    for node, number in numbers.items():
        calls.setdefault(number, []).append(node)
    return _without_mere_sizes(
        [Phase((number + first) % 2 == 1, calls[number]) for number in sorted(calls)]
    )


def is_fraction(node: fx.Node) -> bool:
    """Whether a node is a number that is no whole one: it can't pass between blocks."""
    return isinstance(node.meta.get("val"), (torch.SymFloat, torch.SymBool))


def repeat_fractions(graph: fx.Graph) -> None:
    """Computes a number that is no whole one anew for everyone who reads it."""
    for node in reversed(list(graph.nodes)):
        for user in list(node.users)[1:] if is_fraction(node) else ():
            with graph.inserting_before(user):
                copy = graph.node_copy(node, lambda argument: argument)
            user.replace_input_with(node, copy)


def _without_mere_sizes(phases: list[Phase]) -> list[Phase]:
    """Moves the sizes of a phase that computes nothing else to the next one."""
    kept: list[Phase] = []
    sizes: list[fx.Node] = []
    for phase in phases:
        phase.calls = sizes + phase.calls
        sizes = [] if phase.size else phase.calls
        if phase.size:
            kept.append(phase)
    if sizes and kept:
        kept[-1].calls += sizes
    return kept
