# SPDX-License-Identifier: Apache-2.0
"""Reductions and running sums. Arg-reductions, top-k and sorting are in `selection.py`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from edge_trt.conversion.context import Context, axes_of, widened
from edge_trt.conversion.registry import NO_NAN, converter, refuse, table
from edge_trt.network.builder import ReduceOp, Scalar
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Cumulative
from edge_trt.network.types import DType

aten = torch.ops.aten
Axes = int | Sequence[int] | None
EXACT = "integers on the CPU: exact to 2^53 where sizes are ranges or above 256"


def reduce(ctx: Context, op: ReduceOp, x: Tensor, dim: Axes, keepdim: bool) -> Tensor:
    """A reduction in the result's type."""
    x = ctx.cast(x, widened(ctx.result.dtype))
    return ctx.as_result(ctx.reduce(op, x, axes_of(dim, x.rank), keepdim))


OVER_AXES: dict[object, ReduceOp] = {
    aten.sum.dim_IntList: "SUM",
    aten.mean.dim: "AVG",
}
OVER_ALL: dict[object, ReduceOp] = {
    aten.sum.default: "SUM",
    aten.mean.default: "AVG",
}
PRODUCT_AXES: dict[object, ReduceOp] = {aten.prod.dim_int: "PROD"}
PRODUCT_ALL: dict[object, ReduceOp] = {aten.prod.default: "PROD"}
EXTREME_AXES: dict[object, ReduceOp] = {aten.amax.default: "MAX", aten.amin.default: "MIN"}
EXTREME_ALL: dict[object, ReduceOp] = {aten.max.default: "MAX", aten.min.default: "MIN"}
LOGICAL_AXES: dict[object, ReduceOp] = {
    aten.any.dim: "MAX",
    aten.any.dims: "MAX",
    aten.all.dim: "MIN",
    aten.all.dims: "MIN",
}
LOGICAL_ALL: dict[object, ReduceOp] = {aten.any.default: "MAX", aten.all.default: "MIN"}


def _logical(ctx: Context, op: ReduceOp, self: Tensor, dim: Axes, keepdim: bool) -> Tensor:
    if isinstance(dim, list) and not dim:  # unlike the other reductions, these then reduce nothing
        return ctx.cast(self, DType.BOOL)
    self = ctx.cast(self, DType.BOOL)
    axes = axes_of(dim, self.rank)
    if op == "MAX" and any(self.shape[axis] == 0 or not self.type.is_static for axis in axes):
        # The greatest of no integers is the least one there is, which is not 0.
        greatest = ctx.reduce(op, ctx.cast(self, DType.INT32), axes, keepdim)
        return ctx.elementwise("GREATER", greatest, ctx.constant(0, DType.INT32))
    return reduce(ctx, op, self, dim, keepdim)


for rows, note in ((OVER_AXES, ""), (PRODUCT_AXES, EXACT), (EXTREME_AXES, NO_NAN)):
    table(
        rows,
        lambda ctx, op, self, dim, keepdim: reduce(ctx, op, self, dim, keepdim),
        note=note,
    )
for rows, note in ((OVER_ALL, ""), (PRODUCT_ALL, EXACT), (EXTREME_ALL, NO_NAN)):
    table(rows, lambda ctx, op, self: reduce(ctx, op, self, None, False), note=note)
table(LOGICAL_AXES, _logical)
table(LOGICAL_ALL, lambda ctx, op, self: _logical(ctx, op, self, None, False))


@converter(aten.var.correction)
def var(ctx: Context, self: Tensor, dim: Axes, correction: Scalar | None, keepdim: bool) -> Tensor:
    axes = axes_of(dim, self.rank)
    centered = ctx.elementwise("SUB", self, ctx.reduce("AVG", self, axes, keep_dims=True))
    total = ctx.reduce("SUM", ctx.elementwise("PROD", centered, centered), axes, keepdim)
    correction = 1 if correction is None else correction
    count = ctx.product([ctx.size(self, axis) for axis in axes])
    if isinstance(count, int):
        return ctx.elementwise("DIV", total, max(count - correction, 0))
    degrees = ctx.elementwise("SUB", ctx.cast(count, self.dtype), correction)
    return ctx.elementwise("DIV", total, ctx.elementwise("MAX", degrees, 0))


@converter(aten.var.dim)
def var_dim(ctx: Context, self: Tensor, dim: Axes, unbiased: bool, keepdim: bool) -> Tensor:
    return var(ctx, self, dim, int(unbiased), keepdim)


@converter(aten.std.correction)
def std(ctx: Context, self: Tensor, dim: Axes, correction: Scalar | None, keepdim: bool) -> Tensor:
    return ctx.unary("SQRT", var(ctx, self, dim, correction, keepdim))


@converter(aten.std.dim)
def std_dim(ctx: Context, self: Tensor, dim: Axes, unbiased: bool, keepdim: bool) -> Tensor:
    return ctx.unary("SQRT", var(ctx, self, dim, int(unbiased), keepdim))


@converter(aten.logsumexp.default)
def logsumexp(ctx: Context, self: Tensor, dim: Axes, keepdim: bool) -> Tensor:
    x = ctx.as_result(self)
    axes = axes_of(dim, x.rank)
    peak = ctx.reduce("MAX", x, axes, keep_dims=True)
    # inf - inf is no number, so an infinite peak is not subtracted.
    peak = ctx.select(ctx.unary("ISINF", peak), ctx.like(peak, 0), peak)
    total = ctx.reduce("SUM", ctx.unary("EXP", ctx.elementwise("SUB", x, peak)), axes, True)
    result = ctx.elementwise("SUM", ctx.unary("LOG", total), peak)
    return result if keepdim or not axes else ctx.squeeze(result, axes)


@converter(aten.linalg_vector_norm.default, note=f"infinite ord: {NO_NAN}")
def vector_norm(ctx: Context, self: Tensor, ord: Scalar, dim: Axes, keepdim: bool) -> Tensor:
    x = ctx.as_result(self)
    if ord == 2:
        return ctx.unary("SQRT", reduce(ctx, "SUM", ctx.elementwise("PROD", x, x), dim, keepdim))
    if ord == 0:
        # "not equal" and not "greater": NaN counts.
        other = ctx.unary("NOT", ctx.elementwise("EQUAL", x, 0))
        return reduce(ctx, "SUM", other, dim, keepdim)
    magnitude = ctx.unary("ABS", x)
    if abs(ord) == math.inf:
        return reduce(ctx, "MAX" if ord > 0 else "MIN", magnitude, dim, keepdim)
    powers = magnitude if ord == 1 else ctx.elementwise("POW", magnitude, ord)
    total = reduce(ctx, "SUM", powers, dim, keepdim)
    return total if ord == 1 else ctx.elementwise("POW", total, 1 / ord)


@converter(aten.cumsum.default)
def cumsum(ctx: Context, self: Tensor, dim: int) -> Tensor:
    x = ctx.as_result(self)
    return ctx.network.add(Cumulative(dim % x.rank), x) if x.rank else x


refuse(
    "torch.export gives the wrong shape for an empty list of dimensions: give dim=None",
    aten.nansum,
    aten.nanmean,
)
