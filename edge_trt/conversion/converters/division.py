# SPDX-License-Identifier: Apache-2.0
"""Division that rounds, and remainders.

PyTorch defines them for floats by the exact remainder: 1.0 // 0.1 is 9, since ten times 0.1 as a
float is more than 1. TensorRT has no remainder, and the rounded quotient is off by one there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import fx

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import converter
from edge_trt.network.builder import Scalar
from edge_trt.network.graph import Tensor
from edge_trt.network.types import DType

aten = torch.ops.aten
Operand = Tensor | Scalar

EXACT = "floats: exact where the quotient is below 2^24"
SPLIT = 4097.0
"""2^12 + 1: splits a float32 into two halves whose products with 12-bit numbers are exact."""


@converter(aten.div.Tensor, aten.div.Scalar)
def div(ctx: Context, self: Tensor, other: Operand) -> Tensor:
    return ctx.promoted("DIV", self, other)


def _divisor(self: Any, other: Any) -> str | None:
    """Tensors of no elements get that far."""
    if isinstance(other, fx.Node) or other != 0 or isinstance(other, float):
        return None
    if self.meta["val"].is_floating_point():
        return None
    return "whole numbers are divided by 0, which PyTorch refuses too: give another divisor"


@converter(aten.div.Tensor_mode, aten.div.Scalar_mode, when=_divisor, note=EXACT)
def div_mode(ctx: Context, self: Tensor, other: Operand, rounding_mode: str | None) -> Tensor:
    if rounding_mode == "floor":
        return floor_divide(ctx, self, other)
    quotient = ctx.promoted("DIV", self, other)
    if rounding_mode is None or not quotient.dtype.is_float:  # integers divide towards zero
        return quotient
    return ctx.truncated(quotient)


@converter(aten.floor_divide.default, aten.floor_divide.Scalar, when=_divisor, note=EXACT)
def floor_divide(ctx: Context, self: Operand, other: Operand) -> Tensor:
    if not ctx.result.dtype.is_float or _is_power_of_two(other):
        return ctx.promoted("FLOOR_DIV", self, other)
    a, b, quotient, rest = _divide(ctx, self, other)
    more = ctx.elementwise("SUM", quotient, ctx.cast(_is_not_zero(ctx, rest), quotient.dtype))
    negative = ctx.unary("NEG", more)
    return ctx.as_result(ctx.select(_signs_differ(ctx, a, b), negative, quotient))


@converter(
    aten.remainder.Scalar, aten.remainder.Tensor, aten.remainder.Scalar_Tensor,
    when=_divisor, note=EXACT,
)  # fmt: skip
def remainder(ctx: Context, self: Operand, other: Operand) -> Tensor:
    if not ctx.result.dtype.is_float or _is_power_of_two(other):
        whole = ctx.promoted("PROD", ctx.promoted("FLOOR_DIV", self, other), other)
        return ctx.promoted("SUB", self, whole)
    a, b, _, rest = _divide(ctx, self, other)
    moved = ctx.elementwise("SUB", ctx.unary("ABS", b), rest)
    wraps = ctx.elementwise("AND", _signs_differ(ctx, a, b), _is_not_zero(ctx, rest))
    size = ctx.select(wraps, moved, rest)
    return ctx.as_result(ctx.select(_is_negative(ctx, b), ctx.unary("NEG", size), size))


@converter(aten.fmod.Scalar, aten.fmod.Tensor, when=_divisor, note=EXACT)
def fmod(ctx: Context, self: Tensor, other: Operand) -> Tensor:
    if not ctx.result.dtype.is_float:
        whole = ctx.promoted("PROD", ctx.promoted("DIV", self, other), other)
        return ctx.promoted("SUB", self, whole)
    a, _, _, rest = _divide(ctx, self, other)
    return ctx.as_result(ctx.select(_is_negative(ctx, a), ctx.unary("NEG", rest), rest))


def _is_power_of_two(divisor: Operand) -> bool:
    """Then the quotient is exact, and so is the rounded one."""
    return not isinstance(divisor, Tensor) and abs(math.frexp(divisor)[0]) == 0.5


def _is_negative(ctx: Context, x: Tensor) -> Tensor:
    return ctx.elementwise("LESS", x, 0)


def _is_not_zero(ctx: Context, x: Tensor) -> Tensor:
    return ctx.unary("NOT", ctx.elementwise("EQUAL", x, 0))


def _signs_differ(ctx: Context, a: Tensor, b: Tensor) -> Tensor:
    return ctx.elementwise("XOR", _is_negative(ctx, a), _is_negative(ctx, b))


def _divide(ctx: Context, self: Operand, other: Operand) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Operands as float32, and quotient and remainder of their magnitudes, both exact."""
    a, b = ctx.as_type(self, DType.FLOAT32), ctx.as_type(other, DType.FLOAT32)
    x = ctx.unary("ABS", a)
    y = ctx.unary("ABS", b) if b.data is None else ctx.constant(np.abs(b.data))
    quotient = ctx.unary("FLOOR", ctx.elementwise("DIV", x, y))
    rest = _residual(ctx, x, y, quotient)
    if y.data is None:  # the halves of an infinite divisor are no numbers
        rest = ctx.select(ctx.elementwise("LESS", x, y), x, rest)
    # A rounded quotient may be one too large, that of a fast division also one too small.
    large = _is_negative(ctx, rest)
    quotient = ctx.select(large, ctx.elementwise("SUB", quotient, 1), quotient)
    rest = ctx.select(large, ctx.elementwise("SUM", rest, y), rest)
    small = ctx.unary("NOT", ctx.elementwise("LESS", rest, y))
    quotient = ctx.select(small, ctx.elementwise("SUM", quotient, 1), quotient)
    rest = ctx.select(small, ctx.elementwise("SUB", rest, y), rest)
    return a, b, quotient, rest


def _residual(ctx: Context, x: Tensor, y: Tensor, quotient: Tensor) -> Tensor:
    """X - quotient * y without rounding: the factors are split so that every product is exact."""
    high = ctx.elementwise("PROD", ctx.unary("FLOOR", ctx.elementwise("DIV", quotient, 4096)), 4096)
    rest = x
    for factor in (high, ctx.elementwise("SUB", quotient, high)):
        for part in _halves(ctx, y):
            rest = ctx.elementwise("SUB", rest, ctx.elementwise("PROD", factor, part))
    return rest


def _halves(ctx: Context, y: Tensor) -> list[Tensor]:
    """Y as a sum of two numbers of 12 bits, by T. J. Dekker's splitting."""
    if y.data is not None:
        finite = np.where(np.isinf(y.data), 0, y.data)  # the quotient by infinity is 0
        digits, exponent = np.frexp(finite)
        high = np.ldexp(np.round(np.ldexp(digits, 12)), exponent - 12)
        halves = (high.astype(np.float32), (finite - high).astype(np.float32))
        return [ctx.constant(half) for half in halves if half.any()]
    scaled = ctx.elementwise("PROD", y, SPLIT)
    high = ctx.elementwise("SUB", scaled, ctx.elementwise("SUB", scaled, y))
    return [high, ctx.elementwise("SUB", y, high)]
