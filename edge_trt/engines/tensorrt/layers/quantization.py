# SPDX-License-Identifier: Apache-2.0
"""Emission of explicit quantization."""

from __future__ import annotations

from typing import Any

from edge_trt.engines.tensorrt.dispatch import emit_layer
from edge_trt.engines.tensorrt.emitter import Emitter
from edge_trt.network.graph import Node
from edge_trt.network.layers import Dequantize, Quantize


@emit_layer.register(Quantize)
def _(layer: Quantize, emitter: Emitter, node: Node) -> Any:
    return _scaled(layer, emitter, node, "add_quantize")


@emit_layer.register(Dequantize)
def _(layer: Dequantize, emitter: Emitter, node: Node) -> Any:
    return _scaled(layer, emitter, node, "add_dequantize")


def _scaled(layer: Quantize | Dequantize, emitter: Emitter, node: Node, method: str) -> Any:
    added = emitter.add(method, *emitter.inputs(node), emitter.type(node.outputs[0].dtype))
    if node.inputs[1].rank == 1:
        added.axis = layer.axis
    return added
