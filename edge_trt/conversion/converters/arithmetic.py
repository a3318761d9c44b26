# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on two tensors or a tensor and a number, with PyTorch's promotion."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import converter, table
from edge_trt.network.builder import Scalar
from edge_trt.network.graph import Tensor
from edge_trt.network.layers.elementwise import ElementWiseOp
from edge_trt.network.types import DType

aten = torch.ops.aten
Operand = Tensor | Scalar

PLAIN: dict[object, ElementWiseOp] = {
    aten.mul.Tensor: "PROD",
    aten.mul.Scalar: "PROD",
    aten.maximum.default: "MAX",
    aten.minimum.default: "MIN",
}
ON_BOOL: dict[ElementWiseOp, ElementWiseOp] = {
    "PROD": "AND", "SUM": "OR", "MAX": "OR", "MIN": "AND",
}  # fmt: skip
"""What arithmetic means where the result is bool; TensorRT has no arithmetic there."""


def arithmetic(ctx: Context, op: ElementWiseOp, self: Operand, other: Operand) -> Tensor:
    """`op` in the result's type."""
    if ctx.result.dtype is DType.BOOL:
        return ctx.elementwise(ON_BOOL[op], ctx.as_result(self), ctx.as_result(other))
    return ctx.promoted(op, self, other)


table(PLAIN, arithmetic)


def _scaled(ctx: Context, other: Operand, alpha: Scalar) -> Operand:
    if isinstance(other, Tensor):
        return other if alpha == 1 else arithmetic(ctx, "PROD", other, alpha)
    return other * alpha


@converter(aten.add.Tensor, aten.add.Scalar)
def add(ctx: Context, self: Tensor, other: Operand, alpha: Scalar) -> Tensor:
    return arithmetic(ctx, "SUM", self, _scaled(ctx, other, alpha))


@converter(aten.sub.Tensor, aten.sub.Scalar)
def sub(ctx: Context, self: Tensor, other: Operand, alpha: Scalar) -> Tensor:
    return ctx.promoted("SUB", self, _scaled(ctx, other, alpha))


@converter(aten.rsub.Scalar, aten.rsub.Tensor)
def rsub(ctx: Context, self: Tensor, other: Operand, alpha: Scalar) -> Tensor:
    return ctx.promoted("SUB", other, _scaled(ctx, self, alpha))


@converter(aten.div.Tensor, aten.div.Scalar)
def div(ctx: Context, self: Tensor, other: Operand) -> Tensor:
    return ctx.promoted("DIV", self, other)


@converter(aten.div.Tensor_mode, aten.div.Scalar_mode)
def div_mode(ctx: Context, self: Tensor, other: Operand, rounding_mode: str | None) -> Tensor:
    if rounding_mode == "floor":
        return floor_divide(ctx, self, other)
    quotient = ctx.promoted("DIV", self, other)
    if rounding_mode is None or not quotient.dtype.is_float:  # integers divide towards zero
        return quotient
    magnitude = ctx.unary("FLOOR", ctx.unary("ABS", quotient))
    return ctx.elementwise("PROD", ctx.unary("SIGN", quotient), magnitude)


@converter(aten.floor_divide.default, aten.floor_divide.Scalar)
def floor_divide(ctx: Context, self: Operand, other: Operand) -> Tensor:
    # Rounds the rounded quotient: 1.0 // 0.1 is 10 here, where PyTorch corrects it to 9.
    return ctx.promoted("FLOOR_DIV", self, other)


@converter(aten.remainder.Scalar, aten.remainder.Tensor)
def remainder(ctx: Context, self: Tensor, other: Operand) -> Tensor:
    whole = ctx.promoted("PROD", ctx.promoted("FLOOR_DIV", self, other), other)
    return ctx.promoted("SUB", self, whole)


def _power_ok(self: fx.Node, exponent: Scalar) -> str | None:
    if self.meta["val"].is_floating_point() or not isinstance(exponent, int) or exponent <= 4:
        return None
    return f"power {exponent} of integers has no TensorRT layer: cast to float in the model"


@converter(aten.pow.Tensor_Scalar, when=_power_ok, note="integers up to power 4")
def pow_scalar(ctx: Context, self: Tensor, exponent: Scalar) -> Tensor:
    x = ctx.as_result(self)
    if exponent in (0, 1):
        return x if exponent else ctx.expand(ctx.like(x, 1), ctx.sizes(x))
    if exponent in (2, 3, 4):
        square = ctx.promoted("PROD", x, x)
        rest = {2: None, 3: x, 4: square}[int(exponent)]
        return square if rest is None else ctx.promoted("PROD", square, rest)
    if exponent in (0.5, -0.5, -1):
        root = ctx.unary("SQRT", x) if exponent != -1 else x
        return ctx.unary("RECIP", root) if exponent < 0 else root
    return ctx.elementwise("POW", x, exponent)


def _float_power(self: object, exponent: object) -> str | None:
    operands: list[Any] = [v.meta["val"] if isinstance(v, fx.Node) else v for v in (self, exponent)]
    if torch.result_type(*operands).is_floating_point:
        return None
    return "integer powers by a tensor have no TensorRT layer: cast to float in the model"


@converter(aten.pow.Tensor_Tensor, aten.pow.Scalar, when=_float_power, note="float result")
def pow_tensor(ctx: Context, self: Operand, exponent: Tensor) -> Tensor:
    return ctx.promoted("POW", self, exponent)


@converter(aten.clamp.default, aten.clamp.Tensor, aten.clip.default, aten.clip.Tensor)
def clamp(ctx: Context, self: Tensor, min: Operand | None, max: Operand | None) -> Tensor:
    if not isinstance(min, Tensor) and not isinstance(max, Tensor):
        return ctx.clip(ctx.as_result(self), min, max)
    result = self if min is None else ctx.promoted("MAX", self, min)
    return result if max is None else ctx.promoted("MIN", result, max)


@converter(aten.clamp_min.default, aten.clamp_min.Tensor)
def clamp_min(ctx: Context, self: Tensor, min: Operand) -> Tensor:
    return clamp(ctx, self, min, None)


@converter(aten.clamp_max.default, aten.clamp_max.Tensor)
def clamp_max(ctx: Context, self: Tensor, max: Operand) -> Tensor:
    return clamp(ctx, self, None, max)
