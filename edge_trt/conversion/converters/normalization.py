# SPDX-License-Identifier: Apache-2.0
"""Normalization and softmax."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import fx

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import converter
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Normalization, Scale, SoftMax
from edge_trt.network.types import DType

aten = torch.ops.aten


def _normalized(
    ctx: Context,
    x: Tensor,
    axes: Sequence[int],
    affine: tuple[Tensor | None, Tensor | None],
    shape: Sequence[int | Tensor],
    eps: float,
) -> Tensor:
    """A Normalization layer; scale and bias get `shape`, missing ones are neutral constants."""
    known = [size for size in shape if isinstance(size, int)]
    if len(known) < len(shape):  # one number is broadcast to any size
        known = [1] * len(shape)
    operands = [
        ctx.constant(np.full(known, neutral), x.dtype)
        if value is None
        else ctx.reshape(ctx.cast(value, x.dtype), shape)
        for value, neutral in zip(affine, (1, 0), strict=True)
    ]
    return ctx.network.add(Normalization(tuple(axes), eps), x, *operands)


def _per_channel(ctx: Context, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """`x * weight + bias`; a missing one does nothing."""
    if x.rank >= 4 and all(t is not None and t.is_constant for t in (weight, bias)):
        return ctx.network.add(Scale(), x, *(ctx.cast(t, x.dtype) for t in (weight, bias) if t))
    shape = [-1, *(1,) * (x.rank - 2)]
    if weight is not None:
        x = ctx.elementwise("PROD", x, ctx.reshape(ctx.cast(weight, x.dtype), shape))
    if bias is not None:
        x = ctx.elementwise("SUM", x, ctx.reshape(ctx.cast(bias, x.dtype), shape))
    return x


@converter(aten.layer_norm.default)
def layer_norm(
    ctx: Context,
    input: Tensor,
    normalized_shape: Sequence[int | Tensor],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    first = input.rank - len(normalized_shape)
    shape = [1] * first + list(normalized_shape)
    return _normalized(ctx, input, range(first, input.rank), (weight, bias), shape, eps)


@converter(aten.group_norm.default)
def group_norm(
    ctx: Context,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    # TensorRT's own num_groups wants scale per group; per channel it is an affine step after.
    sizes = ctx.sizes(input)
    groups = ctx.reshape(input, [sizes[0], num_groups, -1])
    normal = _normalized(ctx, groups, [2], (None, None), [1, 1, 1], eps)
    return _per_channel(ctx, ctx.reshape(normal, sizes), weight, bias)


@converter(aten.instance_norm.default)
def instance_norm(
    ctx: Context,
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    eps: float,
) -> Tensor:
    if running_mean is not None and running_var is not None and not use_input_stats:
        return batch_norm(ctx, input, weight, bias, running_mean, running_var, eps)
    axes = range(2, input.rank)
    shape = [1, int(input.shape[1]), *(1,) * len(axes)]
    return _normalized(ctx, input, axes, (weight, bias), shape, eps)


@converter(aten.rms_norm.default)
def rms_norm(
    ctx: Context,
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None,
    eps: float | None,
) -> Tensor:
    axes = range(input.rank - len(normalized_shape), input.rank)
    x = ctx.cast(input, DType.FLOAT32)  # as PyTorch: squares of halves overflow
    mean = ctx.reduce("AVG", ctx.elementwise("PROD", x, x), axes, keep_dims=True)
    epsilon = torch.finfo(torch.float32).eps if eps is None else eps
    root = ctx.unary("SQRT", ctx.elementwise("SUM", mean, epsilon))
    result = ctx.elementwise("DIV", x, root)
    if weight is not None:
        result = ctx.elementwise("PROD", result, ctx.cast(weight, DType.FLOAT32))
    return ctx.as_result(result)


def _inference(training: bool, running_mean: fx.Node | None) -> str | None:
    if training or running_mean is None:
        return "batch_norm uses the statistics of its batch: call model.eval() before export"
    return None


@converter(aten.batch_norm.default, when=_inference, note="running statistics")
def batch_norm(
    ctx: Context,
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    eps: float,
) -> Tensor:
    folded = _fold(running_mean, running_var, weight, bias, eps)
    if folded is not None:
        scale, shift = (ctx.constant(value, input.dtype) for value in folded)
        return _per_channel(ctx, input, scale, shift)
    mean, variance = (ctx.cast(t, input.dtype) for t in (running_mean, running_var))
    centered = _per_channel(ctx, input, None, ctx.unary("NEG", mean))
    deviation = ctx.unary("SQRT", ctx.elementwise("SUM", variance, eps))
    normal = _per_channel(ctx, centered, ctx.unary("RECIP", deviation), None)
    return _per_channel(ctx, normal, weight, bias)


def _fold(
    mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Scale and shift per channel, computed in float64; None if one operand is not constant."""
    operands: list[np.ndarray] = []
    for tensor, default in ((mean, 0), (var, 1), (weight, 1), (bias, 0)):
        value = np.asarray(default) if tensor is None else tensor.data
        if value is None:
            return None
        operands.append(value.astype(np.float64))
    m, v, w, b = operands
    scale = w / np.sqrt(v + eps)
    return scale, b - m * scale


@converter(aten.softmax.int, aten._softmax.default)
def softmax(ctx: Context, self: Tensor, dim: int) -> Tensor:
    x = ctx.as_result(self)
    if x.rank < 2:  # TensorRT's layer needs two dimensions
        missing = range(2 - x.rank)
        return ctx.squeeze(ctx.network.add(SoftMax(1), ctx.unsqueeze(x, missing)), missing)
    return ctx.network.add(SoftMax(dim % x.rank), x)


@converter(aten.log_softmax.int, aten._log_softmax.default)
def log_softmax(ctx: Context, self: Tensor, dim: int) -> Tensor:
    x = ctx.as_result(self)
    axes = [dim] if x.rank else []
    shifted = ctx.elementwise("SUB", x, ctx.reduce("MAX", x, axes, keep_dims=True))
    total = ctx.reduce("SUM", ctx.unary("EXP", shifted), axes, keep_dims=True)
    return ctx.elementwise("SUB", shifted, ctx.unary("LOG", total))
