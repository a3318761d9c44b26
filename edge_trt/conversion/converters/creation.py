# SPDX-License-Identifier: Apache-2.0
"""Tensors made from nothing but numbers and sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import fx

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import converter, table
from edge_trt.network.builder import Scalar, Size
from edge_trt.network.graph import Tensor

aten = torch.ops.aten

SIZED: dict[object, Scalar] = {
    aten.zeros.default: 0,
    aten.empty.memory_format: 0,
    aten.ones.default: 1,
    aten.new_zeros.default: 0,
    aten.new_ones.default: 1,
}
LIKE: dict[object, Scalar] = {aten.zeros_like.default: 0, aten.ones_like.default: 1}


def filled(ctx: Context, sizes: Sequence[Size], value: Scalar | Tensor) -> Tensor:
    """A tensor of one value in the result's type."""
    known = [s for s in sizes if isinstance(s, int)]
    if isinstance(value, Tensor) or len(known) < len(sizes):
        return ctx.expand(ctx.as_result(value), sizes)
    return ctx.constant(np.full(known, value), ctx.result.dtype)


table(SIZED, lambda ctx, value, size: filled(ctx, size, value))
table(LIKE, lambda ctx, value, self: filled(ctx, ctx.sizes(self), value))


@converter(aten.full.default, aten.new_full.default)
def full(ctx: Context, size: Sequence[Size], fill_value: Scalar | Tensor) -> Tensor:
    return filled(ctx, size, fill_value)


@converter(aten.full_like.default)
def full_like(ctx: Context, self: Tensor, fill_value: Scalar | Tensor) -> Tensor:
    return filled(ctx, ctx.sizes(self), fill_value)


@converter(aten.scalar_tensor.default)
def scalar_tensor(ctx: Context, s: Scalar | Tensor) -> Tensor:
    return ctx.as_result(s)


def _whole_numbers(start: object, end: object, step: object) -> str | None:
    bounds = (start, end, step)
    if isinstance(step, fx.Node):
        return "arange with a step known only at run time: give it a number"
    if any(isinstance(b, fx.Node) for b in bounds) and any(isinstance(b, float) for b in bounds):
        return "arange of fractions up to a size known only at run time: count in whole numbers"
    return None


def _whole_end(start: object, end: object) -> str | None:
    return _whole_numbers(start, end, 1)


@converter(aten.arange.default)
def arange(ctx: Context, end: Scalar | Tensor) -> Tensor:
    return arange_step(ctx, 0, end, 1)


@converter(aten.arange.start, when=_whole_end, note="integers where a bound is symbolic")
def arange_start(ctx: Context, start: Scalar | Tensor, end: Scalar | Tensor) -> Tensor:
    return arange_step(ctx, start, end, 1)


@converter(
    aten.arange.start_step,
    when=_whole_numbers,
    note="known step; integers where a bound is symbolic",
)
def arange_step(ctx: Context, start: Scalar | Tensor, end: Scalar | Tensor, step: Scalar) -> Tensor:
    if not isinstance(start, Tensor) and not isinstance(end, Tensor):
        return ctx.constant(np.arange(start, end, step), ctx.result.dtype)
    first, last = (v if isinstance(v, Tensor) else int(v) for v in (start, end))
    # The number of steps rounds up: minus the floor of minus the quotient.
    below = ctx.calculate("FLOOR_DIV", ctx.calculate("SUB", first, last), int(step))
    return ctx.as_result(ctx.arange(ctx.calculate("SUB", 0, below), first, int(step)))
