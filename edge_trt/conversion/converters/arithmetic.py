# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on two tensors or a tensor and a number, with PyTorch's promotion.

Division that rounds is in `division.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from edge_trt.conversion.context import Context, widened
from edge_trt.conversion.registry import NO_NAN, converter, refuse, table
from edge_trt.network.builder import Scalar
from edge_trt.network.graph import Tensor
from edge_trt.network.layers.elementwise import ElementWiseOp
from edge_trt.network.types import DType

aten = torch.ops.aten
Operand = Tensor | Scalar

PLAIN: dict[object, ElementWiseOp] = {
    aten.mul.Tensor: "PROD",
    aten.mul.Scalar: "PROD",
}
EXTREMES: dict[object, ElementWiseOp] = {
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
table(EXTREMES, arithmetic, note=NO_NAN)


def _scaled(ctx: Context, other: Operand, alpha: Operand) -> Operand:
    if isinstance(other, Tensor) or isinstance(alpha, Tensor):
        return other if alpha == 1 else arithmetic(ctx, "PROD", other, alpha)
    return other * alpha


@converter(aten.add.Tensor, aten.add.Scalar)
def add(ctx: Context, self: Tensor, other: Operand, alpha: Operand) -> Tensor:
    return arithmetic(ctx, "SUM", self, _scaled(ctx, other, alpha))


@converter(aten.sub.Tensor, aten.sub.Scalar)
def sub(ctx: Context, self: Tensor, other: Operand, alpha: Operand) -> Tensor:
    return ctx.promoted("SUB", self, _scaled(ctx, other, alpha))


@converter(aten.rsub.Scalar, aten.rsub.Tensor)
def rsub(ctx: Context, self: Tensor, other: Operand, alpha: Operand) -> Tensor:
    return ctx.promoted("SUB", other, _scaled(ctx, self, alpha))


LONGEST = 64
"""Largest whole exponent that is written as products: twice log2 of them at most."""


def _power_ok(self: fx.Node, exponent: Scalar | fx.Node) -> str | None:
    if isinstance(exponent, fx.Node):
        return _float_power(self, exponent)
    integer = isinstance(exponent, int) and not self.meta["val"].is_floating_point()
    if not integer or exponent <= LONGEST:
        return None
    return f"power {exponent} of integers would overflow: cast to float in the model"


@converter(aten.pow.Tensor_Scalar, when=_power_ok, note=f"integers up to power {LONGEST}")
def pow_scalar(ctx: Context, self: Tensor, exponent: Operand) -> Tensor:
    if isinstance(exponent, Tensor):  # a size
        return ctx.promoted("POW", self, exponent)
    x = ctx.as_type(self, widened(ctx.result.dtype))
    if exponent == 0:
        return ctx.expand(ctx.constant(1, ctx.result.dtype), ctx.sizes(x))
    if float(exponent).is_integer() and abs(exponent) <= LONGEST:
        product = _product_of(ctx, x, abs(int(exponent)))
        return ctx.unary("RECIP", product) if exponent < 0 else ctx.as_result(product)
    if exponent in (0.5, -0.5):
        root = ctx.unary("SQRT", x)
        return ctx.unary("RECIP", root) if exponent < 0 else root
    return ctx.elementwise("POW", x, exponent)


def _product_of(ctx: Context, x: Tensor, count: int) -> Tensor:
    """The product of `count` times x, by squaring."""
    if count == 1:
        return x
    half = _product_of(ctx, x, count // 2)
    square = ctx.elementwise("PROD", half, half)
    return ctx.elementwise("PROD", square, x) if count % 2 else square


def _float_power(self: object, exponent: object) -> str | None:
    operands: list[Any] = [v.meta["val"] if isinstance(v, fx.Node) else v for v in (self, exponent)]
    if torch.result_type(*operands).is_floating_point:
        return None
    return "integer powers by a tensor have no TensorRT layer: cast to float in the model"


@converter(
    aten.pow.Tensor_Tensor,
    aten.pow.Scalar,
    when=_float_power,
    note="integers by a tensor in smaller operators",
)
def pow_tensor(ctx: Context, self: Operand, exponent: Tensor) -> Tensor:
    return ctx.promoted("POW", self, exponent)


@converter(aten.clamp.default, aten.clamp.Tensor, aten.clip.default, aten.clip.Tensor, note=NO_NAN)
def clamp(ctx: Context, self: Tensor, min: Operand | None, max: Operand | None) -> Tensor:
    if not isinstance(min, Tensor) and not isinstance(max, Tensor):
        return ctx.clip(ctx.as_result(self), min, max)
    result = self if min is None else ctx.promoted("MAX", self, min)
    return result if max is None else ctx.promoted("MIN", result, max)


@converter(aten.clamp_min.default, aten.clamp_min.Tensor, note=NO_NAN)
def clamp_min(ctx: Context, self: Tensor, min: Operand) -> Tensor:
    return clamp(ctx, self, min, None)


@converter(aten.clamp_max.default, aten.clamp_max.Tensor, note=NO_NAN)
def clamp_max(ctx: Context, self: Tensor, max: Operand) -> Tensor:
    return clamp(ctx, self, None, max)


refuse("it computes in float64, which TensorRT does not have: use pow", aten.float_power)
