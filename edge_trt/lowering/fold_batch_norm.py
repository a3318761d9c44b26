# SPDX-License-Identifier: Apache-2.0
"""Batch normalisation with known statistics is a scale and a shift of the layer before it."""

from __future__ import annotations

import torch
from torch import fx

from edge_trt.lowering.edit import (
    add_constant,
    arguments,
    aten,
    calls,
    constant,
    replace,
    tensor,
)

_CONV = {aten.conv1d.default, aten.conv2d.default, aten.conv3d.default}
_CONV_TRANSPOSE = {
    aten.conv_transpose1d.default,
    aten.conv_transpose2d.input,
    aten.conv_transpose3d.input,
}
_VECTORS = ("weight", "bias", "running_mean", "running_var")


def fold_batch_norm(gm: fx.GraphModule) -> bool:
    """Multiply the scale of a batch-norm into the weights of the convolution or linear before it.

    ::

        before  c = conv2d(x, w, b); n = batch_norm(c, gamma, beta, mean, var, False, 0.1, eps)
        after   c = conv2d(x, w * s, (b - mean) * s + beta)       # s = gamma / sqrt(var + eps)

    Only in eval mode, when nothing else reads the convolution and its weights are constants; after
    ``linear`` only on two dimensions, where features are the channels. Scale and shift are computed
    in float64, and rounded once to the weight's own type. Other batch-norms stay.
    """
    changed = False
    for node in calls(gm):
        if node.target is aten.batch_norm.default:
            changed |= _fold(gm, node)
    return changed


def _fold(gm: fx.GraphModule, norm: fx.Node) -> bool:
    layer = norm.args[0]
    if not isinstance(layer, fx.Node) or not _is_foldable(layer):
        return False
    vectors = _scale_and_shift(gm, norm)
    bound = arguments(layer)
    weight, bias = constant(gm, bound["weight"]), constant(gm, bound["bias"])
    if vectors is None or weight is None or not weight.is_floating_point():
        return False
    if bound["bias"] is not None and bias is None:
        return False
    scale, shift = vectors
    groups = bound["groups"] if layer.target in _CONV_TRANSPOSE else 0
    new_weight = _scaled(weight, scale, groups)
    new_bias = (shift if bias is None else shift + bias.double() * scale).to(weight.dtype)
    fqn = bound["weight"].meta["fqn"]
    stem = fqn.removesuffix(".weight")
    args = [*layer.args, *[None] * (3 - len(layer.args))]
    args[1] = add_constant(
        gm, layer, new_weight, f"{stem}.folded_weight", val=bound["weight"].meta["val"]
    )
    args[2] = add_constant(gm, layer, new_bias, f"{stem}.folded_bias")
    layer.args = tuple(args)
    layer.kwargs = {k: v for k, v in layer.kwargs.items() if k not in ("weight", "bias")}
    replace(norm, layer)
    return True


def _is_foldable(layer: fx.Node) -> bool:
    """Whether a batch-norm that is the only reader of this call could go into its weights."""
    if len(layer.users) != 1:
        return False
    if layer.target is aten.linear.default:
        result = tensor(layer)
        return result is not None and result.dim() == 2
    if layer.target not in _CONV | _CONV_TRANSPOSE:
        return False
    result, source = tensor(layer), tensor(layer.args[0])
    return result is not None and source is not None and result.dim() == source.dim()


def _scale_and_shift(gm: fx.GraphModule, norm: fx.Node) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return the batch-norm as ``x * scale + shift`` per channel in float64, if it is one."""
    bound = arguments(norm)
    data = {name: constant(gm, bound[name]) for name in _VECTORS}
    if bound["training"] or any(
        data[name] is None and (bound[name] is not None or name.startswith("running"))
        for name in _VECTORS
    ):
        return None
    gamma, beta, mean, var = (None if t is None else t.double() for t in data.values())
    assert mean is not None
    assert var is not None
    scale = torch.rsqrt(var + bound["eps"])
    scale = scale if gamma is None else scale * gamma
    shift = -mean * scale
    return scale, shift if beta is None else shift + beta


def _scaled(weight: torch.Tensor, scale: torch.Tensor, groups: int) -> torch.Tensor:
    """Scale the output channels, which a transposed convolution (``groups`` > 0) has second."""
    if groups:
        split = weight.reshape(groups, -1, *weight.shape[1:])
        factor = scale.reshape(groups, 1, -1, *[1] * (weight.dim() - 2))
    else:
        split, factor = weight, scale.reshape(-1, *[1] * (weight.dim() - 1))
    # At least in float32; float64 factors would make torch copy the weights to float64 and back.
    wide = factor if weight.dtype == torch.float64 else factor.float()
    return (split * wide).to(weight.dtype).reshape(weight.shape)
