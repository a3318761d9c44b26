# SPDX-License-Identifier: Apache-2.0
"""Emission of convolution and deconvolution."""

from __future__ import annotations

from typing import Any

from edge_trt.engines.tensorrt.dispatch import emit_layer
from edge_trt.engines.tensorrt.emitter import Emitter
from edge_trt.network.graph import Node
from edge_trt.network.layers import Convolution, Deconvolution


@emit_layer.register(Convolution)
def _(layer: Convolution, emitter: Emitter, node: Node) -> Any:
    maps = node.inputs[1].shape[0]
    return _convolution(layer, emitter, node, "add_convolution_nd", maps)


@emit_layer.register(Deconvolution)
def _(layer: Deconvolution, emitter: Emitter, node: Node) -> Any:
    maps = node.outputs[0].shape[1]
    return _convolution(layer, emitter, node, "add_deconvolution_nd", maps)


def _convolution(
    layer: Convolution | Deconvolution, emitter: Emitter, node: Node, method: str, maps: int | str
) -> Any:
    """Constant kernels and biases are the layer's own weights; computed ones (Q/DQ) are inputs."""
    kernel, window = node.inputs[1], node.inputs[1].shape[2:]
    operands = [t for t in node.inputs[1:] if not t.is_constant]
    weights = [
        emitter.trt.Weights(emitter.type(t.dtype)) if t in operands else emitter.weights(t)
        for t in node.inputs[1:]
    ]
    added = emitter.add(
        method, emitter.tensor(node.inputs[0]), maps, emitter.dims(window), *weights
    )
    if kernel in operands:
        added.set_input(1, emitter.tensor(kernel))
    if len(node.inputs) > 2 and node.inputs[2] in operands:
        added.set_input(2, emitter.tensor(node.inputs[2]))
    added.stride_nd = emitter.dims(layer.stride_nd)
    added.pre_padding = emitter.dims(layer.pre_padding)
    added.post_padding = emitter.dims(layer.post_padding)
    added.dilation_nd = emitter.dims(layer.dilation_nd)
    added.num_groups = layer.num_groups
    return added
