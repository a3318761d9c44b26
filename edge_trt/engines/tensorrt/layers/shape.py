# SPDX-License-Identifier: Apache-2.0
"""Emission of layers that move elements or speak of shapes."""

from __future__ import annotations

from typing import Any

from edge_trt.engines.tensorrt.dispatch import emit_layer
from edge_trt.engines.tensorrt.emitter import Emitter
from edge_trt.network.graph import Node
from edge_trt.network.layers import Concatenation, Fill, Shape, Shuffle, Slice


@emit_layer.register(Shuffle)
def _(layer: Shuffle, emitter: Emitter, node: Node) -> Any:
    x, *sizes = emitter.inputs(node)
    added = emitter.add("add_shuffle", x)
    if layer.first_transpose is not None:
        added.first_transpose = emitter.trt.Permutation(layer.first_transpose)
    if sizes:
        added.zero_is_placeholder = False
        added.set_input(1, sizes[0])
    elif layer.reshape_dims is not None:
        added.reshape_dims = emitter.dims(layer.reshape_dims)
    if layer.second_transpose is not None:
        added.second_transpose = emitter.trt.Permutation(layer.second_transpose)
    return added


@emit_layer.register(Slice)
def _(layer: Slice, emitter: Emitter, node: Node) -> Any:
    """Start and shape that are inputs hold a place among the fixed ones, which TensorRT ignores."""
    x, *extra = emitter.inputs(node)
    place = (0,) * len(layer.axes)
    fixed = [place if v is None else v for v in (layer.start, layer.shape)]
    added = emitter.add("add_slice", x, *map(emitter.dims, (*fixed, layer.stride)))
    added.axes = emitter.dims(layer.axes)
    added.mode = emitter.enum("SampleMode", layer.mode)
    slots = [slot for slot, value in ((1, layer.start), (2, layer.shape)) if value is None]
    slots += [4] if layer.mode == "FILL" else []
    for slot, tensor in zip(slots, extra, strict=True):
        added.set_input(slot, tensor)
    return added


@emit_layer.register(Concatenation)
def _(layer: Concatenation, emitter: Emitter, node: Node) -> Any:
    added = emitter.add("add_concatenation", emitter.inputs(node))
    added.axis = layer.axis
    return added


@emit_layer.register(Shape)
def _(layer: Shape, emitter: Emitter, node: Node) -> Any:
    return emitter.add("add_shape", *emitter.inputs(node))


@emit_layer.register(Fill)
def _(layer: Fill, emitter: Emitter, node: Node) -> Any:
    operation = emitter.enum("FillOperation", layer.operation)
    rank = (0,) * node.outputs[0].rank
    kind = emitter.type(node.outputs[0].dtype)
    added = emitter.add("add_fill", emitter.dims(rank), operation, kind)
    for slot, tensor in enumerate(emitter.inputs(node)):
        added.set_input(slot, tensor)
    return added
