# SPDX-License-Identifier: Apache-2.0
"""Decides by cost which calls that TensorRT could take run on the host instead.

A small island between two fallbacks, or a chain that only feeds one, can cost more in copies than
TensorRT saves. The choice is a cheapest cut: a call on the device costs its time there, a call on
the host its time there, and a value that is read on the other side one copy, however many read it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Iterator, Mapping

from torch import fx

from edge_trt.min_cut import FlowGraph
from edge_trt.partitioning.cost import copy_seconds, device_seconds, host_seconds
from edge_trt.partitioning.flops import bytes_of
from edge_trt.partitioning.support import computes
from edge_trt_runtime.describe import format_size

DEVICE, HOST = "device", "host"


def cheaper_on_host(graph: fx.Graph, refused: Mapping[fx.Node, str]) -> dict[fx.Node, str]:
    """The calls that had better run on the host although TensorRT takes them, with the reason.

    Args:
        graph: a lowered graph. Its inputs come from the host, and its outputs go there.
        refused: the calls that run on the host in any case.

    Returns:
        Nothing if that were all of them: TensorRT was asked for, and a model that small is fast
        either way.
    """
    flow = FlowGraph()
    for node in filter(computes, graph.nodes):
        flow.add(DEVICE, node, host_seconds(node))
        flow.add(node, HOST, math.inf if node in refused else device_seconds(node))
    for value, producer, readers in _values(graph):
        price = copy_seconds(bytes_of(value))
        down, up = ("down", value), ("up", value)
        flow.add(producer, down, price)  # computed on the device, read on the host
        flow.add(up, producer, price)  # computed on the host, read on the device
        for reader in readers:
            flow.add(down, reader, math.inf)
            flow.add(reader, up, math.inf)
    side = flow.sink_side(DEVICE, HOST)
    if all(n in side for n in graph.nodes if computes(n)):
        return {}
    chosen = [n for n in graph.nodes if computes(n) and n in side and n not in refused]
    on_host = {*chosen, *refused}
    reasons: dict[fx.Node, str] = {}
    for group in _connected(chosen):
        sentence = _reason(graph, group, on_host)
        reasons |= dict.fromkeys(group, sentence)
    return reasons


def _values(graph: fx.Graph) -> Iterator[tuple[fx.Node, fx.Node | str, list[fx.Node | str]]]:
    """Values that may be copied: the node, who computes it, and who reads it."""
    for node in graph.nodes:
        computed = computes(node) or node.target is operator.getitem
        if not (computed or node.op == "placeholder"):
            continue  # weights are on both sides; sizes are computed where they are needed
        readers = [
            HOST if user.op == "output" else user
            for user in node.users
            if user.op == "output" or computes(user)
        ]
        if readers:
            producer = node.args[0] if node.target is operator.getitem else node
            assert isinstance(producer, fx.Node)
            yield node, HOST if node.op == "placeholder" else producer, readers


def _connected(nodes: Collection[fx.Node]) -> list[list[fx.Node]]:
    """Groups of nodes that read each other's results."""
    left = dict.fromkeys(nodes)
    groups: list[list[fx.Node]] = []
    while left:
        start = next(iter(left))
        left.pop(start)
        group, pending = [start], [start]
        while pending:
            node = pending.pop()
            for other in (*node.all_input_nodes, *node.users):
                beyond = (other, *other.users, *other.all_input_nodes)
                near = beyond if other.target is operator.getitem else (other,)
                for found in near:
                    if found in left:
                        left.pop(found)
                        group.append(found)
                        pending.append(found)
        groups.append(group)
    return groups


def _reason(graph: fx.Graph, group: list[fx.Node], on_host: Collection[fx.Node]) -> str:
    """What the copies would cost if a group ran on the device, and what that would save."""
    without = set(on_host).difference(group)
    seconds, size = _copies(graph, without)
    now, before = _copies(graph, on_host)
    saved = sum(host_seconds(n) - device_seconds(n) for n in group)
    return (
        "runs with its neighbours on the host: in TensorRT it would save some "
        f"{_microseconds(saved)} us and add {_microseconds(seconds - now)} us of copies "
        f"({format_size(max(size - before, 0))} to and from the device)"
    )


def _copies(graph: fx.Graph, on_host: Collection[fx.Node]) -> tuple[float, int]:
    """Seconds and bytes of all copies between device and host."""
    seconds, size = 0.0, 0
    for value, producer, readers in _values(graph):
        here = producer == HOST or producer in on_host
        if any((r == HOST or r in on_host) != here for r in readers):
            seconds += copy_seconds(bytes_of(value))
            size += bytes_of(value)
    return seconds, size


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.3g}"
