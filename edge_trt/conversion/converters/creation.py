# SPDX-License-Identifier: Apache-2.0
"""Tensors made from nothing but numbers and sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import converter, refuse, table
from edge_trt.conversion.size_functions import (
    SizeFunction,
    function_of,
    tabulated,
    too_many_entries,
)
from edge_trt.network.builder import Scalar, Size
from edge_trt.network.graph import Tensor
from edge_trt.network.types import DType

aten = torch.ops.aten

SIZED: dict[object, Scalar] = {
    aten.zeros.default: 0,
    aten.empty.memory_format: 0,
    aten.empty_strided.default: 0,
    aten.empty_permuted.default: 0,
    aten.new_empty.default: 0,
    aten.new_empty_strided.default: 0,
    aten.ones.default: 1,
    aten.new_zeros.default: 0,
    aten.new_ones.default: 1,
}
LIKE: dict[object, Scalar] = {
    aten.empty_like.default: 0,
    aten.zeros_like.default: 0,
    aten.ones_like.default: 1,
}


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


def _countable(start: object, end: object, step: object, dtype: object) -> str | None:
    bounds = (start, end, step)
    if not any(isinstance(b, fx.Node) for b in bounds) or not any(map(_is_fraction, bounds)):
        return None
    if isinstance(dtype, torch.dtype) and not dtype.is_floating_point:
        return "arange of fractions as integers up to a symbolic size: count in whole numbers"
    return too_many_entries("arange", *(b.meta["val"] for b in bounds if isinstance(b, fx.Node)))


def _countable_by_one(start: object, end: object, dtype: object) -> str | None:
    return _countable(start, end, 1, dtype)


def _is_fraction(bound: object) -> bool:
    return isinstance(bound, float)


@converter(aten.arange.default)
def arange(ctx: Context, end: Scalar | Tensor) -> Tensor:
    return arange_step(ctx, 0, end, 1)


@converter(aten.arange.start, when=_countable_by_one, note="fractions: sizes of a narrow range")
def arange_start(ctx: Context, start: Scalar | Tensor, end: Scalar | Tensor) -> Tensor:
    return arange_step(ctx, start, end, 1)


@converter(aten.arange.start_step, when=_countable, note="fractions: sizes of a narrow range")
def arange_step(
    ctx: Context, start: Scalar | Tensor, end: Scalar | Tensor, step: Scalar | Tensor
) -> Tensor:
    bounds: tuple[Any, ...] = (start, end, step)
    if not any(isinstance(b, Tensor) for b in bounds):
        return ctx.constant(np.arange(*bounds), ctx.result.dtype)
    if any(map(_is_fraction, bounds)):
        return _fractions(ctx, *bounds)
    first, last, by = (b if isinstance(b, Tensor) else int(b) for b in bounds)
    # The number of steps rounds up: minus the floor of minus the quotient.
    below = ctx.calculate("FLOOR_DIV", ctx.calculate("SUB", first, last), by)
    count = ctx.calculate("SUB", 0, below)
    if isinstance(by, int):
        return ctx.as_result(ctx.arange(count, first, by))
    steps = ctx.elementwise("PROD", ctx.arange(count), by)
    return ctx.as_result(ctx.elementwise("SUM", steps, first))


def _fractions(ctx: Context, start: Any, end: Any, step: Any) -> Tensor:
    """Counts with an integer, since a sum of fractions drifts."""
    count = function_of(lambda a, b, c: math.ceil((b - a) / c), start, end, step)
    size = tabulated(ctx, count) if isinstance(count, SizeFunction) else count
    places = ctx.cast(ctx.arange(size), DType.FLOAT32)
    scaled = ctx.elementwise("PROD", places, ctx.as_type(step, DType.FLOAT32))
    return ctx.as_result(ctx.elementwise("SUM", scaled, ctx.as_type(start, DType.FLOAT32)))


def _evaluating(train: bool | None, p: float) -> str | None:
    if train or (train is None and p > 0):
        return "dropout while training is random: call eval() on the model"
    return None


@converter(aten.native_dropout.default, when=_evaluating, note="not while training")
def native_dropout(ctx: Context, input: Tensor) -> tuple[Tensor, Tensor]:
    kept = ctx.constant(True, DType.BOOL)
    return input, ctx.expand(kept, ctx.sizes(input))


refuse(
    "random numbers would differ from PyTorch's: give them to the model as an input",
    aten.rand, aten.rand_like, aten.randn, aten.randn_like, aten.randint, aten.randint_like,
    aten.randperm, aten.bernoulli, aten.multinomial, aten.normal, aten.normal_functional,
    aten.uniform, aten.random, aten.poisson, aten.exponential, aten.binomial, aten.geometric,
    aten.cauchy, aten.log_normal, aten._fused_dropout, aten._sample_dirichlet,
    aten._standard_gamma, aten.rrelu_with_noise_functional,
)  # fmt: skip
refuse(
    "dropout while training is random: call eval() on the model",
    aten.dropout, aten.alpha_dropout, aten.feature_dropout, aten.feature_alpha_dropout,
)  # fmt: skip
