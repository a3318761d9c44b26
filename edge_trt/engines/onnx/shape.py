# SPDX-License-Identifier: Apache-2.0
"""Emission of layers that reorder elements or speak of shapes."""

from __future__ import annotations

import numpy as np

from edge_trt.engines.onnx.dispatch import emit_layer
from edge_trt.engines.onnx.graph import Graph, Value
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Concatenation, Fill, Shape, Shuffle
from edge_trt.network.types import DType


@emit_layer.register(Shuffle)
def _(layer: Shuffle, graph: Graph, x: Tensor, sizes: Tensor | None = None) -> Value:
    value: Value = x
    if layer.first_transpose is not None:
        value = graph.op("Transpose", value, perm=layer.first_transpose)
    if sizes is not None:
        value = graph.op("Reshape", value, sizes, allowzero=1)
    elif layer.reshape_dims is not None:
        value = graph.op("Reshape", value, graph.constant(layer.reshape_dims))
    if layer.second_transpose is not None:
        value = graph.op("Transpose", value, perm=layer.second_transpose)
    return value


@emit_layer.register(Concatenation)
def _(layer: Concatenation, graph: Graph, *inputs: Tensor) -> str:
    return graph.op("Concat", *inputs, axis=layer.axis)


@emit_layer.register(Shape)
def _(layer: Shape, graph: Graph, x: Tensor) -> str:
    return graph.op("Shape", x)


@emit_layer.register(Fill)
def _(layer: Fill, graph: Graph, shape: Tensor, alpha: Tensor, beta: Tensor) -> str:
    """Counts alpha + beta[0] i + beta[1] j + ...; a dimension with a step of 0 is only expanded."""
    sizes: Value = shape if shape.dtype is DType.INT64 else graph.cast(shape, DType.INT64)
    rank = beta.shape[0]
    assert isinstance(rank, int)
    value: Value = alpha
    for axis in range(rank):
        if beta.data is not None and not np.any(beta.data[axis]):
            continue
        size, step = (graph.op("Gather", t, graph.constant(axis)) for t in (sizes, beta))
        places: Value = graph.op("Range", graph.constant(0), size, graph.constant(1))
        if alpha.dtype is not DType.INT64:
            places = graph.cast(places, alpha.dtype)
        ramp = graph.op("Mul", places, step)
        if axis < rank - 1:
            ramp = graph.op("Unsqueeze", ramp, graph.constant(range(1, rank - axis)))
        value = graph.op("Add", value, ramp)
    return graph.op("Expand", value, sizes)
