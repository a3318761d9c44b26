# SPDX-License-Identifier: Apache-2.0
"""Emission of layers that work element by element."""

from __future__ import annotations

from typing import Any

from edge_trt.engines.tensorrt.dispatch import emit_layer
from edge_trt.engines.tensorrt.emitter import Emitter
from edge_trt.network.graph import Node, Tensor
from edge_trt.network.layers import (
    Activation,
    Cast,
    ElementWise,
    Identity,
    ParametricReLU,
    Scale,
    Select,
    Unary,
)
from edge_trt.network.types import DType


@emit_layer.register(Activation)
def _(layer: Activation, emitter: Emitter, node: Node) -> Any:
    kind = emitter.enum("ActivationType", layer.type)
    added = emitter.add("add_activation", *emitter.inputs(node), kind)
    added.alpha = layer.alpha
    added.beta = layer.beta
    return added


@emit_layer.register(Unary)
def _(layer: Unary, emitter: Emitter, node: Node) -> Any:
    op = emitter.enum("UnaryOperation", layer.op)
    return emitter.add("add_unary", *emitter.inputs(node), op)


@emit_layer.register(ElementWise)
def _(layer: ElementWise, emitter: Emitter, node: Node) -> Any:
    op = emitter.enum("ElementWiseOperation", layer.op)
    return emitter.add("add_elementwise", *emitter.inputs(node), op)


@emit_layer.register(Select)
def _(layer: Select, emitter: Emitter, node: Node) -> Any:
    return emitter.add("add_select", *emitter.inputs(node))


@emit_layer.register(Cast)
def _(layer: Cast, emitter: Emitter, node: Node) -> Any:
    """A uint8 network input is cast straight to its type, without the int32 in between."""
    (source,) = node.inputs
    if layer.to_type is DType.UINT8:
        return _to_bytes(emitter, source)
    x = emitter.bytes.get(source) or emitter.tensor(source)
    return emitter.add("add_cast", x, emitter.type(layer.to_type))


def _to_bytes(emitter: Emitter, source: Tensor) -> Any:
    """A cast to uint8, carried as int32: integers keep their last eight bits, as in PyTorch."""
    added = emitter.add("add_cast", emitter.tensor(source), emitter.type(DType.INT32))
    if not source.dtype.is_integer or source.dtype is DType.UINT8:
        return added
    span = emitter.filled(256, DType.INT32, (1,) * source.rank)
    names = ("FLOOR_DIV", "PROD", "SUB")
    divide, times, minus = (emitter.enum("ElementWiseOperation", op) for op in names)
    whole = added.get_output(0)
    multiple = emitter.add("add_elementwise", whole, span, divide).get_output(0)
    multiple = emitter.add("add_elementwise", multiple, span, times).get_output(0)
    return emitter.add("add_elementwise", whole, multiple, minus)


@emit_layer.register(Identity)
def _(layer: Identity, emitter: Emitter, node: Node) -> Any:
    return emitter.add("add_identity", *emitter.inputs(node))


@emit_layer.register(ParametricReLU)
def _(layer: ParametricReLU, emitter: Emitter, node: Node) -> Any:
    return emitter.add("add_parametric_relu", *emitter.inputs(node))


@emit_layer.register(Scale)
def _(layer: Scale, emitter: Emitter, node: Node) -> Any:
    x, scale, shift = node.inputs
    mode = emitter.enum("ScaleMode", "CHANNEL")
    no_power = emitter.trt.Weights(emitter.type(x.dtype))  # of the others' type, though empty
    weights = (emitter.weights(shift), emitter.weights(scale), no_power)
    return emitter.add("add_scale_nd", emitter.tensor(x), mode, *weights, 1)
