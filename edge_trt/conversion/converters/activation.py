# SPDX-License-Identifier: Apache-2.0
"""Activation functions."""

from __future__ import annotations

import torch

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import NO_NAN, converter, table
from edge_trt.network.builder import Scalar
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import ParametricReLU
from edge_trt.network.layers.elementwise import ActivationType

aten = torch.ops.aten

SAME: dict[object, tuple[ActivationType, float, float]] = {
    aten.sigmoid.default: ("SIGMOID", 0, 0),
    aten.tanh.default: ("TANH", 0, 0),
    aten.selu.default: ("SELU", 1.6732632423543772, 1.0507009873554805),
}
CLIPPED: dict[object, tuple[ActivationType, float, float]] = {
    aten.hardsigmoid.default: ("HARD_SIGMOID", 1 / 6, 0.5),
}
"""Operators that are one activation layer: type, alpha, beta."""

for rows, note in ((SAME, ""), (CLIPPED, NO_NAN)):
    table(
        rows,
        lambda ctx, row, self: ctx.activation(row[0], ctx.as_result(self), row[1], row[2]),
        note=note,
    )


@converter(aten.relu.default, note=NO_NAN)
def relu(ctx: Context, self: Tensor) -> Tensor:
    return ctx.activation("RELU", self) if self.dtype.is_float else ctx.promoted("MAX", self, 0)


@converter(aten.relu6.default, note=NO_NAN)
def relu6(ctx: Context, self: Tensor) -> Tensor:
    return ctx.clip(self, 0, 6)


@converter(aten.hardtanh.default, note=NO_NAN)
def hardtanh(ctx: Context, self: Tensor, min_val: Scalar, max_val: Scalar) -> Tensor:
    return ctx.clip(self, min_val, max_val)


@converter(aten.gelu.default)
def gelu(ctx: Context, self: Tensor, approximate: str) -> Tensor:
    return ctx.activation("GELU_TANH" if approximate == "tanh" else "GELU_ERF", self)


@converter(aten.silu.default)
def silu(ctx: Context, self: Tensor) -> Tensor:
    return ctx.elementwise("PROD", self, ctx.activation("SIGMOID", self))


@converter(aten.hardswish.default, note=NO_NAN)
def hardswish(ctx: Context, self: Tensor) -> Tensor:
    return ctx.elementwise("PROD", self, ctx.activation("HARD_SIGMOID", self, 1 / 6, 0.5))


@converter(aten.mish.default)
def mish(ctx: Context, self: Tensor) -> Tensor:
    soft = ctx.activation("SOFTPLUS", self, 1, 1)
    return ctx.elementwise("PROD", self, ctx.activation("TANH", soft))


@converter(aten.leaky_relu.default)
def leaky_relu(ctx: Context, self: Tensor, negative_slope: Scalar) -> Tensor:
    return ctx.activation("LEAKY_RELU", self, negative_slope)


def _rising(input_scale: Scalar) -> str | None:
    if input_scale > 0:
        return None
    return f"elu with input_scale {input_scale} falls for negative inputs: give a positive scale"


@converter(aten.elu.default, when=_rising, note="positive input_scale")
def elu(ctx: Context, self: Tensor, alpha: Scalar, scale: Scalar, input_scale: Scalar) -> Tensor:
    # scale * ELU(x) with e^(input_scale x) is TensorRT's ELU of the scaled input, scaled back.
    x = self if input_scale == 1 else ctx.elementwise("PROD", self, input_scale)
    result = ctx.activation("ELU", x, alpha * input_scale)
    return result if scale == input_scale else ctx.elementwise("PROD", result, scale / input_scale)


def _positive_alpha(alpha: Scalar) -> str | None:
    if alpha > 0:
        return None
    return f"celu with alpha {alpha} falls for negative inputs: give a positive alpha"


@converter(aten.celu.default, when=_positive_alpha, note="positive alpha")
def celu(ctx: Context, self: Tensor, alpha: Scalar) -> Tensor:
    return elu(ctx, self, alpha, 1, 1 / alpha)


def _positive_beta(beta: Scalar) -> str | None:
    if beta > 0:
        return None
    return f"softplus with beta {beta} grows for negative inputs: give a positive beta"


@converter(aten.softplus.default, when=_positive_beta, note="positive beta")
def softplus(ctx: Context, self: Tensor, beta: Scalar, threshold: Scalar) -> Tensor:
    soft = ctx.activation("SOFTPLUS", self, 1 / beta, beta)
    if threshold >= 15:  # from there on log(1 + e^x) is x in float32
        return soft
    return ctx.select(ctx.elementwise("GREATER", self, threshold / beta), self, soft)


@converter(aten.prelu.default)
def prelu(ctx: Context, self: Tensor, weight: Tensor) -> Tensor:
    if weight.rank == 1:  # one slope per channel, which is dimension 1
        weight = ctx.reshape(weight, ([-1] + [1] * (self.rank - 2))[: self.rank])
    return ctx.network.add(ParametricReLU(), self, ctx.to_rank(weight, self.rank))


@converter(aten.log_sigmoid.default)
def log_sigmoid(ctx: Context, self: Tensor) -> Tensor:
    return ctx.activation("SOFTPLUS", self, -1, -1)  # -log(1 + e^-x)


@converter(aten.hardshrink.default)
def hardshrink(ctx: Context, self: Tensor, lambd: Scalar) -> Tensor:
    outside = ctx.elementwise("GREATER", ctx.unary("ABS", self), lambd)
    return ctx.elementwise("PROD", self, ctx.cast(outside, self.dtype))


@converter(aten.softshrink.default)
def softshrink(ctx: Context, self: Tensor, lambd: Scalar) -> Tensor:
    return ctx.elementwise("SUB", self, ctx.clip(self, -lambd, lambd))


@converter(aten.threshold.default, note=NO_NAN)
def threshold(ctx: Context, self: Tensor, threshold: Scalar, value: Scalar) -> Tensor:
    if self.dtype.is_float and value == 0:
        return ctx.activation("THRESHOLDED_RELU", self, threshold)
    limit = threshold if self.dtype.is_float else int(threshold)  # PyTorch cuts its fraction off
    above = ctx.compared("GREATER", self, limit)
    return ctx.select(above, self, ctx.like(self, value))


@converter(aten._prelu_kernel.default)
def prelu_kernel(ctx: Context, self: Tensor, weight: Tensor) -> Tensor:
    rank = max(self.rank, weight.rank)
    return ctx.network.add(ParametricReLU(), ctx.to_rank(self, rank), ctx.to_rank(weight, rank))
