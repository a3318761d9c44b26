# SPDX-License-Identifier: Apache-2.0
"""Emission of gathering and scattering."""

from __future__ import annotations

from typing import Any

from edge_trt.engines.tensorrt.dispatch import emit_layer
from edge_trt.engines.tensorrt.emitter import Emitter
from edge_trt.network.graph import Node
from edge_trt.network.layers import Gather, OneHot, Scatter


@emit_layer.register(Gather)
def _(layer: Gather, emitter: Emitter, node: Node) -> Any:
    mode = emitter.enum("GatherMode", layer.mode)
    added = emitter.add("add_gather_v2", *emitter.inputs(node), mode)
    if layer.mode != "ND":
        added.axis = layer.axis
    if layer.mode != "ELEMENT":
        added.num_elementwise_dims = layer.num_elementwise_dims
    return added


@emit_layer.register(Scatter)
def _(layer: Scatter, emitter: Emitter, node: Node) -> Any:
    mode = emitter.enum("ScatterMode", layer.mode)
    added = emitter.add("add_scatter", *emitter.inputs(node), mode)
    if layer.mode == "ELEMENT":
        added.axis = layer.axis
    return added


@emit_layer.register(OneHot)
def _(layer: OneHot, emitter: Emitter, node: Node) -> Any:
    return emitter.add("add_one_hot", *emitter.inputs(node), layer.axis)
