# SPDX-License-Identifier: Apache-2.0
"""Emission of explicit quantization, in the forms that ONNX Runtime computes in integers.

It looks for a product between DequantizeLinear and QuantizeLinear, with a bias in int32, and knows
a matrix by two dimensions. Nothing here changes a level but the rounding of such a bias, by half a
unit of the sum of some hundred products.
"""

from __future__ import annotations

import numpy as np

from edge_trt.engines.onnx.dispatch import emit_layer
from edge_trt.engines.onnx.graph import Graph, Value
from edge_trt.network.graph import Node, Tensor
from edge_trt.network.layers import (
    Activation,
    Convolution,
    Deconvolution,
    Dequantize,
    MatrixMultiply,
    Quantize,
)
from edge_trt.network.types import DType

_INT32 = 2**31 - 1


@emit_layer.register(Quantize)
def _(layer: Quantize, graph: Graph, x: Tensor, scale: Tensor) -> str:
    # ONNX wants one type for both; the scale's is the one that may not lose digits.
    value = x if x.dtype is scale.dtype else graph.cast(x, scale.dtype)
    return graph.op("QuantizeLinear", value, scale, _zero(graph, scale), axis=_axis(layer, scale))


@emit_layer.register(Dequantize)
def _(layer: Dequantize, graph: Graph, x: Tensor, scale: Tensor) -> str:
    product = _product_of(graph, x)
    if product is not None:
        return _linear(graph, product, x, scale)
    zero, axis = _zero(graph, scale), _axis(layer, scale)
    result = graph.op("DequantizeLinear", x, scale, zero, axis=axis)
    other = layer.to_type not in (None, scale.dtype)
    return graph.cast(result, layer.to_type) if layer.to_type and other else result


def _product_of(graph: Graph, levels: Tensor) -> Node | None:
    """The product by a constant matrix whose levels these are."""
    if not levels.is_constant or any(d != 1 for d in levels.shape[:-2]):
        return None
    (output,) = graph.node.outputs
    user = graph.only_user()
    if user is None or not isinstance(user.layer, MatrixMultiply):
        return None
    layer = user.layer
    fits = layer.op0 == "NONE" and layer.op1 != "VECTOR" and user.inputs[1] is output
    return user if fits and output.dtype is DType.FLOAT32 else None


def _linear(graph: Graph, product: Node, levels: Tensor, scale: Tensor) -> str:
    """A product with the matrix in two dimensions, inner sizes first."""
    rows, columns = (int(d) for d in levels.shape[-2:])
    matrix = graph.weight(levels, (rows, columns))
    assert isinstance(product.layer, MatrixMultiply)
    if product.layer.op1 == "TRANSPOSE":
        matrix = graph.op("Transpose", matrix, perm=[1, 0])
    axis = 1 if scale.rank else None
    right = graph.op("DequantizeLinear", matrix, scale, _zero(graph, scale), axis=axis)
    graph.fuse(product)
    return graph.op("MatMul", product.inputs[0], right)


def quantized_activation(layer: Activation, graph: Graph, x: Tensor) -> str | None:
    """An activation after a convolution in int8, done on the levels that are made of its result.

    Rounding is monotonic: the levels of what is clipped are the clipped levels.
    """
    user = graph.only_user()
    clips = layer.type in ("RELU", "CLIP")
    if not clips or user is None or not isinstance(user.layer, Quantize):
        return None
    scale = user.inputs[1]
    convolution = x.producer and isinstance(x.producer.layer, (Convolution, Deconvolution))
    if scale.rank or scale.data is None or not convolution or x.dtype is not DType.FLOAT32:
        return None
    if not _is_dequantized(x.producer.inputs[0] if x.producer else x):
        return None
    low, high = (0.0, np.inf) if layer.type == "RELU" else (layer.alpha, layer.beta)
    bounds = np.clip(np.rint(np.array([low, high]) / scale.data), -128, 127)
    graph.fuse(user)
    levels = graph.op("QuantizeLinear", x, scale, _zero(graph, scale))
    low_level, high_level = (graph.constant(b, DType.INT8) for b in bounds)
    return graph.op("Clip", levels, low_level, high_level)


def quantized_bias(graph: Graph, x: Tensor, kernel: Tensor, bias: Tensor) -> Value:
    """The bias of a convolution in int8 as int32, in steps of the products; else as it is."""
    if not (_is_dequantized(x) and _is_dequantized(kernel) and bias.data is not None):
        return bias
    steps = [t.producer.inputs[1].data for t in (x, kernel) if t.producer is not None]
    scale = np.ones(bias.data.shape, np.float32)
    for step in steps:
        if step is None or bias.dtype is not DType.FLOAT32:
            return bias
        scale = scale * step.astype(np.float32)
    levels = np.rint(bias.data.astype(np.float64) / scale)
    if not (np.abs(levels) < _INT32).all():
        return bias
    return graph.op(
        "DequantizeLinear",
        graph.constant(levels, DType.INT32),
        graph.constant(scale, DType.FLOAT32),
        graph.constant(np.zeros(levels.shape), DType.INT32),
        axis=0,
    )


def _is_dequantized(tensor: Tensor) -> bool:
    return tensor.producer is not None and isinstance(tensor.producer.layer, Dequantize)


def _axis(layer: Quantize | Dequantize, scale: Tensor) -> int | None:
    return layer.axis if scale.rank else None


def _zero(graph: Graph, scale: Tensor) -> Value:
    """Zero points, which tell ONNX that int8 is meant."""
    if all(isinstance(d, int) for d in scale.shape):
        return graph.constant(np.zeros([int(d) for d in scale.shape]), DType.INT8)
    shape = graph.op("Shape", scale)
    return graph.op("Expand", graph.constant([0], DType.INT8), shape)
