# SPDX-License-Identifier: Apache-2.0
"""Which tensors have one scale between them.

A layer that only moves values can move int8 as well, if it need not change the scale: TensorRT
then pulls the quantization through it. Tensors on both sides of such a layer share a scale, and so
do all that are concatenated. On a DLA the operands of an addition do, too.

There is nothing to pull through a layer whose input is not quantized: the parts that are cut from a
vector of positions and forces keep scales of their own.
"""

from __future__ import annotations

from collections.abc import Iterable

from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.layers import (
    Concatenation,
    ElementWise,
    Gather,
    Identity,
    Pooling,
    Resize,
    Shuffle,
    Slice,
)
from edge_trt.precision.reasons import is_float32

MOVING = (Concatenation, Gather, Identity, Shuffle, Slice)
"""Layers whose results are elements of their inputs."""


def share(network: Network, tensors: Iterable[Tensor], *, dense: bool = False) -> list[set[Tensor]]:
    """Groups of those tensors that need one scale; a tensor alone is in no group.

    Args:
        network: where they are.
        tensors: the tensors that are quantized.
        dense: with the rules of a DLA, where operands of additions and averages share too.
    """
    quantized = list(tensors)
    parent: dict[Tensor, Tensor] = {}
    whole = {*quantized}  # these, and what only moves their elements

    def root(tensor: Tensor) -> Tensor:
        while tensor in parent:
            tensor = parent[tensor]
        return tensor

    for node in network.nodes:
        joined = _joined(node, dense=dense)
        if (
            not dense
            and not isinstance(node.layer, Concatenation)
            and whole.isdisjoint(node.inputs)
        ):
            continue
        whole.update(joined)
        for tensor in joined[1:]:
            if root(tensor) is not root(joined[0]):
                parent[root(tensor)] = root(joined[0])
    groups: dict[Tensor, set[Tensor]] = {}
    for tensor in quantized:
        groups.setdefault(root(tensor), set()).add(tensor)
    return [group for group in groups.values() if len(group) > 1]


def _joined(node: Node, *, dense: bool) -> list[Tensor]:
    """The tensors around a layer that keeps scales as they are."""
    layer = node.layer
    moving = isinstance(layer, MOVING)
    moving |= isinstance(layer, Pooling) and (dense or layer.type == "MAX")
    moving |= isinstance(layer, Resize) and layer.resize_mode == "NEAREST"
    if dense and isinstance(layer, ElementWise) and layer.op in ("SUM", "SUB", "MAX", "MIN"):
        return [t for t in node.inputs if is_float32(t) and not t.is_constant]
    if not moving:
        return []
    data = [t for t in node.inputs if is_float32(t) and not t.is_constant]
    return [*data, *(t for t in node.outputs if is_float32(t))]
