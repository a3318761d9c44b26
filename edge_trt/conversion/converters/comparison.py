# SPDX-License-Identifier: Apache-2.0
"""Comparisons, logic on bool tensors, and selection by condition."""

from __future__ import annotations

import torch

from edge_trt.conversion.context import Context, promote
from edge_trt.conversion.registry import converter, table
from edge_trt.network.builder import Scalar
from edge_trt.network.graph import Tensor
from edge_trt.network.layers.elementwise import ElementWiseOp
from edge_trt.network.types import DType

aten = torch.ops.aten
Operand = Tensor | Scalar

COMPARISON: dict[object, ElementWiseOp] = {
    aten.gt.Tensor: "GREATER", aten.gt.Scalar: "GREATER",
    aten.lt.Tensor: "LESS", aten.lt.Scalar: "LESS",
    aten.eq.Tensor: "EQUAL", aten.eq.Scalar: "EQUAL",
}  # fmt: skip
ORDER_OR_EQUAL: dict[object, tuple[ElementWiseOp, ElementWiseOp]] = {
    aten.ge.Tensor: ("GREATER", "LESS"), aten.ge.Scalar: ("GREATER", "LESS"),
    aten.le.Tensor: ("LESS", "GREATER"), aten.le.Scalar: ("LESS", "GREATER"),
}  # fmt: skip
"""The strict comparison, and the opposite one."""

LOGIC: dict[object, ElementWiseOp] = {
    aten.logical_and.default: "AND",
    aten.logical_or.default: "OR",
    aten.logical_xor.default: "XOR",
}


def _order_or_equal(
    ctx: Context, ops: tuple[ElementWiseOp, ElementWiseOp], self: Operand, other: Operand
) -> Tensor:
    strict, opposite = ops
    if not promote(self, other).is_float:
        return ctx.unary("NOT", ctx.compared(opposite, self, other))
    # NOT would make comparisons with NaN true.
    equal = ctx.compared("EQUAL", self, other)
    return ctx.elementwise("OR", ctx.compared(strict, self, other), equal)


def _as_bool(ctx: Context, op: ElementWiseOp, self: Tensor, other: Operand) -> Tensor:
    return ctx.elementwise(op, ctx.cast(self, DType.BOOL), ctx.as_type(other, DType.BOOL))


table(COMPARISON, lambda ctx, op, self, other: ctx.compared(op, self, other))
table(ORDER_OR_EQUAL, _order_or_equal)
table(LOGIC, _as_bool)


@converter(aten.ne.Tensor, aten.ne.Scalar)
def ne(ctx: Context, self: Tensor, other: Operand) -> Tensor:
    return ctx.unary("NOT", ctx.compared("EQUAL", self, other))


@converter(aten.where.self, aten.where.ScalarSelf, aten.where.ScalarOther, aten.where.Scalar)
def where(ctx: Context, condition: Tensor, self: Operand, other: Operand) -> Tensor:
    return ctx.select(ctx.cast(condition, DType.BOOL), ctx.as_result(self), ctx.as_result(other))


@converter(aten.masked_fill.Scalar, aten.masked_fill.Tensor)
def masked_fill(ctx: Context, self: Tensor, mask: Tensor, value: Operand) -> Tensor:
    return ctx.select(mask, ctx.as_result(value), self)
