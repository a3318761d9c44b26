# SPDX-License-Identifier: Apache-2.0
"""Emission of reductions, scans and top-k."""

from __future__ import annotations

from edge_trt.engines.onnx.dispatch import emit_layer
from edge_trt.engines.onnx.graph import Graph
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Cumulative, Reduce, TopK
from edge_trt.network.types import DType

REDUCE = {
    "SUM": "ReduceSum",
    "PROD": "ReduceProd",
    "MAX": "ReduceMax",
    "MIN": "ReduceMin",
    "AVG": "ReduceMean",
}


@emit_layer.register(Reduce)
def _(layer: Reduce, graph: Graph, x: Tensor) -> str:
    if layer.op == "AVG" and x.dtype.is_integer:
        return _integer_mean(layer, graph, x)
    return graph.op(REDUCE[layer.op], x, graph.constant(layer.axes), keepdims=int(layer.keep_dims))


def _integer_mean(layer: Reduce, graph: Graph, x: Tensor) -> str:
    """Sum divided by count, rounding to zero: ReduceMean has no kernel for all integers."""
    total = graph.op("ReduceSum", x, graph.constant(layer.axes), keepdims=int(layer.keep_dims))
    sizes = graph.op("Gather", graph.op("Shape", x), graph.constant(layer.axes))
    count = graph.op("ReduceProd", sizes, keepdims=0)
    return graph.op("Div", total, graph.cast(count, x.dtype))


@emit_layer.register(TopK)
def _(layer: TopK, graph: Graph, x: Tensor, *count: Tensor) -> tuple[str, ...]:
    k = graph.constant([layer.k])
    if count:
        k = graph.op("Reshape", graph.cast(count[0], DType.INT64), graph.constant([1]))
    values, indices = graph.multi(
        "TopK", 2, x, k,
        axis=layer.axis, largest=int(layer.op == "MAX"), sorted=1,
    )  # fmt: skip
    return values, graph.cast(indices, DType.INT32)


@emit_layer.register(Cumulative)
def _(layer: Cumulative, graph: Graph, x: Tensor) -> str:
    axis = graph.constant(layer.axis)
    return graph.op("CumSum", x, axis, exclusive=int(layer.exclusive), reverse=int(layer.reverse))
