# SPDX-License-Identifier: Apache-2.0
"""Products and sums with one constant per channel belong to the weights of the layer before."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from edge_trt.lowering.edit import arguments, aten, calls, constant, replace, tensor
from edge_trt.lowering.layer_weights import channel_axis, fold_into

_OPERATORS = {aten.mul.Tensor, aten.div.Tensor, aten.add.Tensor, aten.sub.Tensor}
_COMMUTE = {aten.mul.Tensor, aten.add.Tensor}

_LEAST_SCALE = 2.0**-10
"""Models start with layer scales of 1e-6; float16 would not hold weights that small."""


def fold_channel_constants(gm: fx.GraphModule) -> bool:
    """Take a product or sum with a constant per channel into the convolution or linear before it.

    ::

        before  l = linear(x, w, b); p = permute(l, order); y = mul(p, gamma)
        after   l = linear(x, w * gamma, b * gamma); y = permute(l, order)

    So frozen batch-norms and layer scales vanish. Only when nothing else reads the layer, its
    weights are constants that it does not share, and the result has its shape and type.
    """
    changed = False
    for node in calls(gm):
        if node.target in _OPERATORS and arguments(node).get("alpha", 1) == 1:
            changed |= _fold(gm, node)
    return changed


def _fold(gm: fx.GraphModule, node: fx.Node) -> bool:
    source, other = node.args[:2]
    if node.target in _COMMUTE and constant(gm, source) is not None:
        source, other = other, source
    found = _layer_before(source)
    value = constant(gm, other)
    if found is None or value is None or not value.is_floating_point():
        return False
    assert isinstance(source, fx.Node)
    layer, axis = found
    result, before = tensor(node), tensor(source)
    if result is None or before is None or result.dtype != before.dtype:
        return False
    vector = _per_channel(value, before, axis)
    weight = arguments(layer)["weight"]
    if vector is None or not isinstance(weight, fx.Node) or len(weight.users) != 1:
        return False
    scale, shift = _scale_and_shift(node.target, vector)
    if scale is not None and not _LEAST_SCALE <= float(scale.abs().max()) < torch.inf:
        return False
    if not fold_into(gm, layer, scale, shift):
        return False
    replace(node, source)
    return True


def _layer_before(source: Any) -> tuple[fx.Node, int] | None:
    """The layer that a value comes from, and the axis of the value that its channels are on."""
    if not isinstance(source, fx.Node) or len(source.users) != 1:
        return None
    layer, order = source, None
    if source.target is aten.permute.default:
        layer, order = source.args
    axis = channel_axis(layer)
    if axis is None:
        return None
    assert isinstance(layer, fx.Node)
    if order is None:
        return layer, axis
    rank = len(order)  # type: ignore[arg-type]
    return layer, [dim % rank for dim in order].index(axis)  # type: ignore[union-attr, operator]


def _per_channel(value: torch.Tensor, like: torch.Tensor, axis: int) -> torch.Tensor | None:
    """The constant as one float64 number per channel, if it has them and is broadcast otherwise."""
    shape = [1] * (like.dim() - value.dim()) + list(value.shape)
    wanted = [like.shape[axis] if i == axis else 1 for i in range(like.dim())]
    return value.double().reshape(-1) if shape == wanted else None


def _scale_and_shift(
    target: object, vector: torch.Tensor
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    if target is aten.mul.Tensor:
        return vector, None
    if target is aten.div.Tensor:
        return 1 / vector, None
    return None, vector if target is aten.add.Tensor else -vector
