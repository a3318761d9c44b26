# SPDX-License-Identifier: Apache-2.0
"""Heads on flattened features, kept in four dimensions: products become convolutions.

[N, C, H, W] -> flatten -> product with a matrix -> bias -> activation ... is computed as
[N, M, 1, 1], and flattened where something else reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from edge_trt.network.graph import Node, Tensor
from edge_trt.network.layers import (
    Activation,
    Convolution,
    ElementWise,
    MatrixMultiply,
    Shuffle,
)
from edge_trt.placement.recipes.pointwise import clipped
from edge_trt.placement.recipes.recipe import Kitchen, is_static
from edge_trt.placement.sizes import numbers


def linear(kitchen: Kitchen, node: Node) -> Sequence[Tensor] | None:
    """A product, sum or activation of [N, C] in four dimensions."""
    if node.outputs[0].rank != 2 or not node.outputs[0].type.is_static:
        return None
    if isinstance(node.layer, MatrixMultiply):
        return _product(kitchen, node)
    if isinstance(node.layer, (Activation, ElementWise)):
        return _pointwise(kitchen, node)
    return None


def _product(kitchen: Kitchen, node: Node) -> Sequence[Tensor] | None:
    layer, matrix = cast("MatrixMultiply", node.layer), node.inputs[1].data
    x = _source(kitchen, node.inputs[0])
    if x is None or matrix is None or layer.op0 != "NONE" or not is_static(node, 2):
        return None
    weights = matrix if layer.op1 == "TRANSPOSE" else matrix.T
    kernel = weights.reshape(weights.shape[0], *numbers(x)[1:])
    window = Convolution((1, 1), (0, 0), (0, 0), (1, 1))
    return kitchen.flat(node, kitchen.add(node, window, x, kitchen.constant(node, kernel)))


def _source(kitchen: Kitchen, tensor: Tensor) -> Tensor | None:
    """The four-dimensional tensor that a flat one is, in the new network."""
    if tensor in kitchen.unfolded:
        return kitchen.unfolded[tensor]
    producer = tensor.producer
    if producer is None or not isinstance(producer.layer, Shuffle):
        return None
    x = producer.inputs[0]
    layer = producer.layer
    turned = layer.first_transpose is not None or layer.second_transpose is not None
    same_batch = x.shape[:1] == tensor.shape[:1]
    return kitchen.rewriter[x] if x.rank == 4 and not turned and same_batch else None


def _pointwise(kitchen: Kitchen, node: Node) -> Sequence[Tensor] | None:
    operands: list[Tensor] = []
    for tensor in node.inputs:
        if tensor.data is not None:
            operands.append(kitchen.constant(node, _four(tensor.data)))
            continue
        unfolded = _source(kitchen, tensor)
        if unfolded is None or numbers(unfolded)[2:] != (1, 1):
            return None
        operands.append(unfolded)
    if isinstance(node.layer, Activation) and node.layer.type == "HARD_SIGMOID":
        return kitchen.flat(node, clipped(kitchen, node, operands[0]))
    return kitchen.flat(node, kitchen.add(node, node.layer, *operands))


def _four(array: np.ndarray) -> np.ndarray:
    """[C] or [N, C] as [N, C, 1, 1]."""
    rows = array.reshape(1, -1) if array.ndim < 2 else array
    return rows.reshape(*rows.shape, 1, 1)
