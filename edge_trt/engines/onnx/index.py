# SPDX-License-Identifier: Apache-2.0
"""Emission of gathering and scattering."""

from __future__ import annotations

from edge_trt.engines.onnx.dispatch import emit_layer
from edge_trt.engines.onnx.graph import Graph, Value
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Gather, OneHot, Scatter
from edge_trt.network.types import DType


@emit_layer.register(Gather)
def _(layer: Gather, graph: Graph, data: Tensor, indices: Tensor) -> str:
    if layer.mode == "ELEMENT":
        return graph.op("GatherElements", data, indices, axis=layer.axis)
    if layer.mode == "ND":
        places = _int64(graph, indices)
        return graph.op("GatherND", data, places, batch_dims=layer.num_elementwise_dims)
    if layer.num_elementwise_dims == 0:
        return graph.op("Gather", data, indices, axis=layer.axis)
    return _batched(layer, graph, data, indices)


def _batched(layer: Gather, graph: Graph, data: Tensor, indices: Tensor) -> str:
    """A gather per element of the first dimension: GatherND with the axis brought forward.

    data [b, *before, n, *after], indices [b, *place] -> [b, *before, *place, *after]
    """
    before = layer.axis - 1
    order = [0, layer.axis, *(a for a in range(1, data.rank) if a != layer.axis)]
    moved = data if before == 0 else graph.op("Transpose", data, perm=order)
    places = graph.op("Unsqueeze", _int64(graph, indices), graph.constant([-1]))
    found = graph.op("GatherND", moved, places, batch_dims=1)
    if before == 0:
        return found
    place = indices.rank - 1
    heads = range(1 + place, 1 + place + before)
    tails = range(1 + place + before, data.rank - 1 + place)
    return graph.op("Transpose", found, perm=[0, *heads, *range(1, 1 + place), *tails])


@emit_layer.register(Scatter)
def _(layer: Scatter, graph: Graph, data: Tensor, indices: Tensor, updates: Tensor) -> str:
    if layer.mode == "ELEMENT":
        return graph.op("ScatterElements", data, indices, updates, axis=layer.axis)
    return graph.op("ScatterND", data, _int64(graph, indices), updates)


@emit_layer.register(OneHot)
def _(layer: OneHot, graph: Graph, indices: Tensor, values: Tensor, depth: Tensor) -> str:
    # ONNX's OneHot lets negative indices count from the end, and takes few combinations of types.
    axis = layer.axis if layer.axis >= 0 else layer.axis + indices.rank + 1
    classes = graph.op("Range", graph.constant(0), _int64(graph, depth), graph.constant(1))
    after = list(range(1, indices.rank + 1 - axis))
    if after:
        classes = graph.op("Unsqueeze", classes, graph.constant(after))
    places = graph.op("Unsqueeze", _int64(graph, indices), graph.constant([axis]))
    off, on = (graph.op("Gather", values, graph.constant(i)) for i in (0, 1))
    return graph.where(graph.op("Equal", places, classes), on, off, values.dtype)


def _int64(graph: Graph, x: Tensor) -> Value:
    return x if x.dtype is DType.INT64 else graph.cast(x, DType.INT64)
