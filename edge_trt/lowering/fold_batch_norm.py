# SPDX-License-Identifier: Apache-2.0
"""Batch normalisation with known statistics is a scale and a shift of the layer before it."""

from __future__ import annotations

import torch
from torch import fx

from edge_trt.lowering.edit import arguments, aten, calls, constant, replace
from edge_trt.lowering.layer_weights import channel_axis, fold_into

_VECTORS = ("weight", "bias", "running_mean", "running_var")


def fold_batch_norm(gm: fx.GraphModule) -> bool:
    """Multiply the scale of a batch-norm into the weights of the convolution or linear before it.

    ::

        before  c = conv2d(x, w, b); n = batch_norm(c, gamma, beta, mean, var, False, 0.1, eps)
        after   c = conv2d(x, w * s, (b - mean) * s + beta)       # s = gamma / sqrt(var + eps)

    Only in eval mode, when nothing else reads the convolution and its weights are constants; after
    ``linear`` only on two dimensions, where features are the channels. Computed in float64, stored
    in the weight's own type. Other batch-norms stay.
    """
    changed = False
    for node in calls(gm):
        if node.target is aten.batch_norm.default:
            changed |= _fold(gm, node)
    return changed


def _fold(gm: fx.GraphModule, norm: fx.Node) -> bool:
    layer = norm.args[0]
    vectors = _scale_and_shift(gm, norm)
    if vectors is None or channel_axis(layer) != 1:
        return False
    assert isinstance(layer, fx.Node)
    if not fold_into(gm, layer, *vectors):
        return False
    replace(norm, layer)
    return True


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
