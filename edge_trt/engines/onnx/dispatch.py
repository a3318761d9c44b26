# SPDX-License-Identifier: Apache-2.0
"""One emission function per layer kind, found by the layer's class."""

from __future__ import annotations

import functools

from edge_trt.engines.onnx.graph import Graph, Value
from edge_trt.network.graph import Tensor
from edge_trt.network.layer import Layer


@functools.singledispatch
def emit_layer(layer: Layer, graph: Graph, *inputs: Tensor) -> Value | tuple[str, ...]:
    """Adds the operators of one layer and returns the names of its results.

    Raises:
        NotImplementedError: the kind has no emission, which the tests exclude.
    """
    raise NotImplementedError(f"layer kind {layer.kind} has no ONNX emission")
