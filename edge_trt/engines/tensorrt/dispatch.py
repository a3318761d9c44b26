# SPDX-License-Identifier: Apache-2.0
"""The function that turns one layer into TensorRT's, one registration per layer kind."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any

from edge_trt.network.layer import Layer

if TYPE_CHECKING:
    from edge_trt.engines.tensorrt.emitter import Emitter
    from edge_trt.network.graph import Node


@singledispatch
def emit_layer(layer: Layer, emitter: Emitter, node: Node) -> Any:
    """Adds a layer to the TensorRT network.

    Returns:
        The `ILayer` whose outputs are the node's, in order, or a list of one `ILayer` per output.

    Raises:
        BuildError: this TensorRT can't express the layer.
    """
    raise NotImplementedError(f"no TensorRT emission for {layer.kind}")
