# SPDX-License-Identifier: Apache-2.0
"""How many products a layer with weights computes, for sizes that are usual."""

from __future__ import annotations

import math
from collections.abc import Mapping

from edge_trt.engines.onnx.observer import usual_types
from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.layers import Deconvolution, MatrixMultiply
from edge_trt.network.types import TensorType
from edge_trt.precision.sites import WEIGHTED


def products(network: Network, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Products by the name of the layer; sizes that values decide count as 1.

    Args:
        network: a network.
        shapes: shapes of its inputs by name.
    """
    types = usual_types(network, shapes)
    return {n.name: _products(n, types) for n in network.nodes if isinstance(n.layer, WEIGHTED)}


def _products(node: Node, types: Mapping[Tensor, TensorType]) -> int:
    x, result = types[node.inputs[0]], types[node.outputs[0]]
    if isinstance(node.layer, MatrixMultiply):
        rows, columns = (_count(x.shape[axis : axis + 1 or None]) for axis in (-2, -1))
        return _count(result.shape) * (rows if node.layer.op0 == "TRANSPOSE" else columns)
    kernel = node.inputs[1].shape
    each = x if isinstance(node.layer, Deconvolution) else result
    return _count(each.shape) * _count(kernel[1:])


def _count(shape: tuple[int | str, ...]) -> int:
    return math.prod(size for size in shape if isinstance(size, int))
