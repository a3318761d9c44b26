# SPDX-License-Identifier: Apache-2.0
"""Emission of normalization layers, by the ONNX operator that fits or step by step."""

from __future__ import annotations

from edge_trt.engines.onnx.dispatch import emit_layer
from edge_trt.engines.onnx.graph import Graph, Value
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import LRN, Normalization, SoftMax
from edge_trt.network.types import DType


@emit_layer.register(SoftMax)
def _(layer: SoftMax, graph: Graph, x: Tensor) -> str:
    return graph.op("Softmax", x, axis=layer.axis)


@emit_layer.register(LRN)
def _(layer: LRN, graph: Graph, x: Tensor) -> str:
    return graph.op(
        "LRN", x, size=layer.window_size, alpha=layer.alpha, beta=layer.beta, bias=layer.k
    )


@emit_layer.register(Normalization)
def _(layer: Normalization, graph: Graph, x: Tensor, scale: Tensor, bias: Tensor) -> str:
    axes = tuple(sorted(layer.axes))
    first = x.rank - len(axes)
    per_channel = (1, *x.shape[1:2], *(1,) * (x.rank - 2))
    if layer.num_groups > 1:
        return _grouped(layer, graph, x, scale, bias)
    if axes == tuple(range(first, x.rank)) and _covers(x, scale, bias, first):
        return _layer_norm(layer, graph, x, scale, bias, first)
    if axes == tuple(range(2, x.rank)) and scale.shape == bias.shape == per_channel:
        weights = (_viewed(graph, t, (-1,)) for t in (scale, bias))
        return graph.op("InstanceNormalization", x, *weights, epsilon=layer.epsilon)
    if axes == tuple(range(1, x.rank)):
        return _grouped(layer, graph, x, scale, bias)
    return _stepwise(layer, graph, x, scale, bias, axes)


def _covers(x: Tensor, scale: Tensor, bias: Tensor, first: int) -> bool:
    """Whether scale and bias have one number per normalized element and no more."""
    wanted = (*(1,) * first, *x.shape[first:])
    return scale.shape == wanted and bias.shape == wanted


def _layer_norm(
    layer: Normalization, graph: Graph, x: Tensor, scale: Tensor, bias: Tensor, first: int
) -> str:
    sizes = tuple(d if isinstance(d, int) else -1 for d in scale.shape[first:])
    if sizes.count(-1) > 1:
        return _stepwise(layer, graph, x, scale, bias, tuple(range(first, x.rank)))
    weights = (_viewed(graph, t, sizes) for t in (scale, bias))
    return graph.op("LayerNormalization", x, *weights, axis=first, epsilon=layer.epsilon)


def _grouped(layer: Normalization, graph: Graph, x: Tensor, scale: Tensor, bias: Tensor) -> str:
    """Statistics over groups of channels: an instance norm of [N, groups, rest]."""
    groups = layer.num_groups
    ones, zeros = ([value] * groups for value in (1, 0))
    flat = graph.op("Reshape", x, graph.constant([0, groups, -1]))
    normal = graph.op(
        "InstanceNormalization", flat,
        graph.constant(ones, x.dtype), graph.constant(zeros, x.dtype),
        epsilon=layer.epsilon,
    )  # fmt: skip
    per_group = scale.shape[1] == groups != x.shape[1]
    if per_group:  # the shape that TensorRT before 10.15 wants
        weights = [_viewed(graph, t, (1, groups, 1)) for t in (scale, bias)]
        normal = graph.op("Add", graph.op("Mul", normal, weights[0]), weights[1])
    result = graph.op("Reshape", normal, graph.op("Shape", x), allowzero=1)
    if per_group:
        return result
    return graph.op("Add", graph.op("Mul", result, scale), bias)


def _stepwise(
    layer: Normalization, graph: Graph, source: Tensor, scale: Tensor, bias: Tensor,
    axes: tuple[int, ...],
) -> str:  # fmt: skip
    """The definition, in float32 as TensorRT computes it whatever the source's type is."""
    x, s, b = (
        t if t.dtype is DType.FLOAT32 else graph.cast(t, DType.FLOAT32)
        for t in (source, scale, bias)
    )
    over = graph.constant(axes)
    centred = graph.op("Sub", x, graph.op("ReduceMean", x, over))
    variance = graph.op("ReduceMean", graph.op("Mul", centred, centred), over)
    epsilon = graph.constant(layer.epsilon, DType.FLOAT32)
    deviation = graph.op("Sqrt", graph.op("Add", variance, epsilon))
    result = graph.op("Mul", graph.op("Div", centred, deviation), s)
    result = graph.op("Add", result, b)
    return result if source.dtype is DType.FLOAT32 else graph.cast(result, source.dtype)


def _viewed(graph: Graph, x: Tensor, sizes: tuple[int, ...]) -> Value:
    """`x` in another shape; a constant needs no operator for that."""
    if x.data is not None:
        return graph.weight(x, x.data.reshape(sizes).shape)
    return graph.op("Reshape", x, graph.constant(sizes))
