# SPDX-License-Identifier: Apache-2.0
"""Softmax and normalizations."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.support.trt_interpreter.call import Call, Function


def softmax(call: Call) -> torch.Tensor:
    return torch.softmax(call.input, call.axis())


def normalization(call: Call) -> torch.Tensor:
    """(x - mean) / sqrt(variance + epsilon) * scale + bias.

    With groups, the mean is over the channels of a group together with `axes`; scale and bias have
    one value per group in the first version of the layer, one per channel in the second.
    """
    x, scale, bias = call.input, call.tensor(1), call.tensor(2)
    groups, axes = call.layer.num_groups, call.axes()
    if scale.ndim != x.ndim or bias.ndim != x.ndim:
        raise call.unsupported(f"scale {list(scale.shape)} and bias {list(bias.shape)}")
    if groups == 1:
        return _normalized(x, axes, call.layer.epsilon) * scale + bias
    grouped = x.unflatten(1, (groups, x.shape[1] // groups))
    inner = [2, *(axis + 1 for axis in axes if axis > 1)]
    y = _normalized(grouped, inner, call.layer.epsilon)
    if getattr(call.layer, "is_v2", False):
        return y.flatten(1, 2) * scale + bias
    return (y * scale.unsqueeze(2) + bias.unsqueeze(2)).flatten(1, 2)


def _normalized(x: torch.Tensor, axes: list[int], epsilon: float) -> torch.Tensor:
    mean = x.mean(axes, keepdim=True)
    variance = ((x - mean) ** 2).mean(axes, keepdim=True)
    return (x - mean) / torch.sqrt(variance + epsilon)


def lrn(call: Call) -> torch.Tensor:
    """x / (k + alpha / window * sum of squares over neighbouring channels) ^ beta."""
    x, layer = call.input, call.layer
    side = layer.window_size // 2
    squares = F.pad(x * x, [0, 0] * (x.ndim - 2) + [side, side])
    total = squares.unfold(1, layer.window_size, 1).sum(-1)
    return x / (layer.k + layer.alpha / layer.window_size * total) ** layer.beta


FUNCTIONS: dict[str, Function] = {
    "LRN": lrn,
    "NORMALIZATION": normalization,
    "SOFTMAX": softmax,
}
