# SPDX-License-Identifier: Apache-2.0
"""Loops as Scan, conditionals as If; their bodies become the operators' subgraphs."""

from __future__ import annotations

from typing import Any

from onnx import GraphProto

from edge_trt.engines.onnx.dispatch import emit_layer
from edge_trt.engines.onnx.graph import Graph
from edge_trt.network.graph import Network, Tensor
from edge_trt.network.layers import IfConditional, Loop


@emit_layer.register(Loop)
def _(layer: Loop, graph: Graph, *inputs: Tensor) -> tuple[str, ...]:
    last = layer.states + layer.iterated
    body = _reading_around(graph, layer.body, inputs, last)
    elements = len(layer.body.outputs) - layer.states
    directions: dict[str, Any] = {}
    if layer.reverse:
        directions["scan_input_directions"] = [1] * layer.iterated
        directions["scan_output_directions"] = [1] * elements or None
    return graph.multi(
        "Scan", len(layer.body.outputs), *inputs[:last], body=body, num_scan_inputs=layer.iterated,
        **directions,
    )  # fmt: skip


@emit_layer.register(IfConditional)
def _(layer: IfConditional, graph: Graph, condition: Tensor, *inputs: Tensor) -> tuple[str, ...]:
    branches = (_reading_around(graph, body, inputs, 0) for body in layer.bodies.values())
    then, otherwise = branches
    count = len(layer.true_body.outputs)
    return graph.multi("If", count, condition, then_branch=then, else_branch=otherwise)


def _reading_around(
    graph: Graph, body: Network, inputs: tuple[Tensor, ...], first: int
) -> GraphProto:
    """A body as a subgraph, which reads its inputs from `first` on from the graph around it."""
    proto = graph.body(body)
    del proto.input[first:]
    pairs = zip(body.inputs[first:], inputs[first:], strict=True)
    _rename_reads(proto, {inside.name: graph.name(outside) for inside, outside in pairs})
    return proto


def _rename_reads(proto: GraphProto, names: dict[str, str]) -> None:
    """Lets the operators of a graph, and of the graphs in it, read other values."""
    for node in proto.node:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename_reads(attribute.g, names)
