# SPDX-License-Identifier: Apache-2.0
"""Emission of explicit quantization."""

from __future__ import annotations

import numpy as np

from edge_trt.engines.onnx.dispatch import emit_layer
from edge_trt.engines.onnx.graph import Graph, Value
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Dequantize, Quantize
from edge_trt.network.types import DType


@emit_layer.register(Quantize)
def _(layer: Quantize, graph: Graph, x: Tensor, scale: Tensor) -> str:
    # ONNX wants one type for both; the scale's is the one that may not lose digits.
    value = x if x.dtype is scale.dtype else graph.cast(x, scale.dtype)
    return graph.op("QuantizeLinear", value, scale, _zero(graph, scale), axis=_axis(layer, scale))


@emit_layer.register(Dequantize)
def _(layer: Dequantize, graph: Graph, x: Tensor, scale: Tensor) -> str:
    return graph.op("DequantizeLinear", x, scale, _zero(graph, scale), axis=_axis(layer, scale))


def _axis(layer: Quantize | Dequantize, scale: Tensor) -> int | None:
    return layer.axis if scale.rank else None


def _zero(graph: Graph, scale: Tensor) -> Value:
    """Zero points, which tell ONNX that int8 is meant."""
    if all(isinstance(d, int) for d in scale.shape):
        return graph.constant(np.zeros([int(d) for d in scale.shape]), DType.INT8)
    shape = graph.op("Shape", scale)
    return graph.op("Expand", graph.constant([0], DType.INT8), shape)
