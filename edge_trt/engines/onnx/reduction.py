# SPDX-License-Identifier: Apache-2.0
"""Emission of reductions, scans and top-k."""

from __future__ import annotations

from collections.abc import Callable

from edge_trt.engines.onnx.dispatch import emit_layer
from edge_trt.engines.onnx.graph import Graph, Value
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

_FACTORS = 256
"""Of more, a product of integers stays one operator."""


@emit_layer.register(Reduce)
def _(layer: Reduce, graph: Graph, x: Tensor) -> str:
    if x.dtype.is_integer and layer.op in _OF_INTEGERS:
        return _OF_INTEGERS[layer.op](layer, graph, x)
    return _reduced(layer, graph, x)


def _reduced(layer: Reduce, graph: Graph, x: Value) -> str:
    return graph.op(REDUCE[layer.op], x, graph.constant(layer.axes), keepdims=int(layer.keep_dims))


def _integer_sum(layer: Reduce, graph: Graph, x: Tensor) -> str:
    """A sum that is exact and wraps around: ReduceSum adds float64 and saturates.

    So upper and lower halves of int64 are added apart, each of which float64 holds.
    """
    if x.dtype is not DType.INT64:
        return graph.cast(_reduced(layer, graph, graph.cast(x, DType.INT64)), x.dtype)
    half = graph.constant(2**32)
    upper = graph.op("Div", x, half)
    lower = graph.op("Sub", x, graph.op("Mul", upper, half))
    upper = graph.op("Mul", _reduced(layer, graph, upper), half)
    return graph.op("Add", upper, _reduced(layer, graph, lower))


def _few(layer: Reduce, x: Tensor) -> bool:
    sizes = [x.shape[axis] for axis in layer.axes]
    return all(isinstance(size, int) and 0 < size <= _FACTORS for size in sizes)


def _integer_product(layer: Reduce, graph: Graph, x: Tensor) -> str:
    """A product that is exact and wraps around, as ReduceProd is not: halves times halves."""
    if x.dtype is DType.INT8 or not _few(layer, x):
        return _reduced(layer, graph, x)
    product: Value = x
    for axis in layer.axes:
        count = x.shape[axis]
        assert isinstance(count, int)
        while count > 1:
            half = count // 2
            parts = [(0, half), (half, 2 * half)] + [(2 * half, count)] * (count % 2)
            first, second, *rest = (_part(graph, product, axis, *part) for part in parts)
            product = graph.op("Mul", first, second)
            if rest:
                product = graph.op("Concat", product, *rest, axis=axis)
            count = half + count % 2
    if layer.keep_dims:
        return graph.name(product)
    return graph.op("Squeeze", product, graph.constant(layer.axes))


def _part(graph: Graph, x: Value, axis: int, start: int, stop: int) -> str:
    return graph.op("Slice", x, *(graph.constant([n]) for n in (start, stop, axis)))


def _integer_mean(layer: Reduce, graph: Graph, x: Tensor) -> str:
    """Sum divided by count, rounding to zero: ReduceMean has no kernel for all integers."""
    total = _integer_sum(layer, graph, x)
    sizes = graph.op("Gather", graph.op("Shape", x), graph.constant(layer.axes))
    count = graph.op("ReduceProd", sizes, keepdims=0)
    return graph.op("Div", total, graph.cast(count, x.dtype))


_OF_INTEGERS: dict[str, Callable[[Reduce, Graph, Tensor], str]] = {
    "SUM": _integer_sum,
    "PROD": _integer_product,
    "AVG": _integer_mean,
}


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
