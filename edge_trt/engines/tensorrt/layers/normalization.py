# SPDX-License-Identifier: Apache-2.0
"""Emission of normalization layers."""

from __future__ import annotations

from typing import Any

from edge_trt.engines.tensorrt.datatypes import axes_mask
from edge_trt.engines.tensorrt.dispatch import emit_layer
from edge_trt.engines.tensorrt.emitter import Emitter
from edge_trt.network.graph import Node
from edge_trt.network.layers import LRN, Normalization, SoftMax


@emit_layer.register(SoftMax)
def _(layer: SoftMax, emitter: Emitter, node: Node) -> Any:
    added = emitter.add("add_softmax", *emitter.inputs(node))
    added.axes = axes_mask([layer.axis])
    return added


@emit_layer.register(LRN)
def _(layer: LRN, emitter: Emitter, node: Node) -> Any:
    (x,) = emitter.inputs(node)
    return emitter.add("add_lrn", x, layer.window_size, layer.alpha, layer.beta, layer.k)


@emit_layer.register(Normalization)
def _(layer: Normalization, emitter: Emitter, node: Node) -> Any:
    """Groups with a scale per channel need version 2 of the layer, which 10.x does not have.

    Version 1 scales per group: there groups are normalized with scale 1 and bias 0, and the
    channels scaled and shifted after it.
    """
    x, scale, bias = emitter.inputs(node)
    per_channel = layer.num_groups > 1 and node.inputs[1].shape[1] != layer.num_groups
    if not per_channel:
        return _normalization(layer, emitter, "add_normalization", x, scale, bias)
    if emitter.has("add_normalization_v2"):
        return _normalization(layer, emitter, "add_normalization_v2", x, scale, bias)
    plain = (1, layer.num_groups, *(1,) * len(layer.axes))
    one, zero = (emitter.filled(value, node.inputs[0].dtype, plain) for value in (1, 0))
    normal = _normalization(layer, emitter, "add_normalization", x, one, zero).get_output(0)
    prod, total = (emitter.enum("ElementWiseOperation", op) for op in ("PROD", "SUM"))
    scaled = emitter.add("add_elementwise", normal, scale, prod).get_output(0)
    return emitter.add("add_elementwise", scaled, bias, total)


def _normalization(
    layer: Normalization, emitter: Emitter, method: str, x: Any, scale: Any, bias: Any
) -> Any:
    added = emitter.add(method, x, scale, bias, axes_mask(layer.axes))
    added.epsilon = layer.epsilon
    added.num_groups = layer.num_groups
    return added
