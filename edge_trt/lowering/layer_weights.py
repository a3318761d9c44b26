# SPDX-License-Identifier: Apache-2.0
"""A scale and a shift per channel, taken into the weights of a convolution or linear layer."""

from __future__ import annotations

import torch
from torch import fx

from edge_trt.lowering.edit import add_constant, arguments, aten, constant, tensor

_CONV = {aten.conv1d.default, aten.conv2d.default, aten.conv3d.default}
_CONV_TRANSPOSE = {
    aten.conv_transpose1d.default,
    aten.conv_transpose2d.input,
    aten.conv_transpose3d.input,
}

_BLOCK = 1 << 20
"""Weights scaled at a time: what is float64 in between, would take three times the memory."""


def channel_axis(layer: object) -> int | None:
    """Return the axis of the result that has weights of its own per element.

    None for what is no such layer, or has further readers, who want the result as it is.
    """
    if not isinstance(layer, fx.Node) or len(layer.users) != 1:
        return None
    result = tensor(layer)
    if result is None:
        return None
    if layer.target is aten.linear.default:
        return result.dim() - 1
    if layer.target not in _CONV | _CONV_TRANSPOSE:
        return None
    source = tensor(layer.args[0])
    return 1 if source is not None and result.dim() == source.dim() else None


def fold_into(
    gm: fx.GraphModule, layer: fx.Node, scale: torch.Tensor | None, shift: torch.Tensor | None
) -> bool:
    """Make a layer compute ``result * scale + shift``, one float64 number per channel each.

    Only where its weights are constants; they are stored in their own type. Without a scale the
    weight stays the model's own.
    """
    bound = arguments(layer)
    weight, bias = constant(gm, bound["weight"]), constant(gm, bound["bias"])
    if weight is None or not weight.is_floating_point() or weight.dim() < 2:
        return False
    if bound["bias"] is not None and bias is None:
        return False
    stem = bound["weight"].meta["fqn"].removesuffix(".folded_weight").removesuffix(".weight")
    args = [*layer.args, *[None] * (3 - len(layer.args))]
    args[1], args[2] = bound["weight"], bound["bias"]
    if scale is not None:
        groups = bound["groups"] if layer.target in _CONV_TRANSPOSE else 0
        scaled, like = _scaled(weight, scale, groups), bound["weight"].meta["val"]
        args[1] = add_constant(gm, layer, scaled, f"{stem}.folded_weight", val=like)
    if bias is not None or shift is not None:
        moved = _moved(bias, scale, shift).to(weight.dtype)
        args[2] = add_constant(gm, layer, moved, f"{stem}.folded_bias")
    layer.args = tuple(args)
    layer.kwargs = {k: v for k, v in layer.kwargs.items() if k not in ("weight", "bias")}
    return True


def _moved(
    bias: torch.Tensor | None, scale: torch.Tensor | None, shift: torch.Tensor | None
) -> torch.Tensor:
    """``bias * scale + shift``, of which at least one of bias and shift is there."""
    if bias is None:
        assert shift is not None
        return shift
    scaled = bias.double() if scale is None else bias.double() * scale
    return scaled if shift is None else scaled + shift


def _scaled(weight: torch.Tensor, scale: torch.Tensor, groups: int) -> torch.Tensor:
    """Scale the output channels, which a transposed convolution (``groups`` > 0) has second."""
    if groups:
        split = weight.reshape(groups, -1, *weight.shape[1:])
        factor = scale.reshape(groups, 1, -1, *[1] * (weight.dim() - 2))
    else:
        split, factor = weight, scale.reshape(-1, *[1] * (weight.dim() - 1))
    out, axis = torch.empty(split.shape, dtype=weight.dtype), 1 if groups else 0
    rows = max(1, _BLOCK * split.shape[axis] // max(1, split.numel()))
    for part, by, into in zip(*(x.split(rows, axis) for x in (split, factor, out)), strict=True):
        into.copy_(part * by)
    return out.reshape(weight.shape)
