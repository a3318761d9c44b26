# SPDX-License-Identifier: Apache-2.0
"""Adaptive average pooling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from edge_trt.conversion.context import Context
from edge_trt.conversion.converters.pooling import Windows, pool
from edge_trt.conversion.registry import needs_float, table
from edge_trt.network.builder import Size
from edge_trt.network.graph import Tensor
from edge_trt.network.types import Dim, DType

aten = torch.ops.aten
ADAPTIVE = {
    aten.adaptive_avg_pool1d.default: 1,
    aten.adaptive_avg_pool2d.default: 2,
    aten._adaptive_avg_pool2d.default: 2,
    aten.adaptive_avg_pool3d.default: 3,
    aten._adaptive_avg_pool3d.default: 3,
}


def adaptive_avg_pool(ctx: Context, ndim: int, self: Tensor, output_size: Sequence[Size]) -> Tensor:
    axes = range(self.rank - ndim, self.rank)
    if all(_is_one(count) for count in output_size):
        return ctx.reduce("AVG", self, axes, keep_dims=True)
    pairs = zip(self.shape[-ndim:], output_size, strict=True)
    window = [_width(size, count) for size, count in pairs]
    if all(window):
        step, none = tuple(window), (0,) * ndim
        return pool(ctx, "AVERAGE", self, Windows(step, step, none, none))
    x = self
    for axis, count in zip(axes, output_size, strict=True):
        x = _means(ctx, x, axis, count)
    return x


def _is_one(count: Size) -> bool:
    return isinstance(count, int) and count == 1


def _width(size: Dim, count: Size) -> int:
    """Elements in each bin, 0 if that is unknown or differs from bin to bin."""
    if isinstance(size, int) and isinstance(count, int) and size % count == 0:
        return size // count
    return 0


def _means(ctx: Context, x: Tensor, axis: int, count: Size) -> Tensor:
    """Bins of different widths along one axis: a product with a matrix."""
    size = ctx.size(x, axis)
    if size == count:
        return x
    if _is_one(count):
        return ctx.reduce("AVG", x, [axis], keep_dims=True)
    if isinstance(size, int) and isinstance(count, int):
        return ctx.along(x, axis, _bins(size, count))
    return ctx.along(x, axis, _computed_bins(ctx, size, count, x.dtype))


def _computed_bins(ctx: Context, size: Size, count: Size, dtype: DType) -> Tensor:
    """What `_bins` gives, computed by the network for sizes that are known when it runs."""
    size, count, bins, places = (
        ctx.as_type(n, DType.INT32) for n in (size, count, ctx.arange(count), ctx.arange(size))
    )
    scaled = ctx.elementwise("PROD", bins, size)
    begin = ctx.elementwise("FLOOR_DIV", scaled, count)
    # Rounded up: the floor of the quotient plus almost one.
    almost = ctx.elementwise("SUB", ctx.elementwise("SUM", size, count), 1)
    end = ctx.elementwise("FLOOR_DIV", ctx.elementwise("SUM", scaled, almost), count)
    places = ctx.unsqueeze(places, [1])
    begun = ctx.unary("NOT", ctx.elementwise("LESS", places, begin))
    inside = ctx.elementwise("AND", begun, ctx.elementwise("LESS", places, end))
    width = ctx.cast(ctx.elementwise("SUB", end, begin), DType.FLOAT32)
    share = ctx.cast(ctx.unary("RECIP", width), dtype)
    return ctx.select(inside, share, ctx.constant(0, dtype))


def _bins(size: int, count: int) -> np.ndarray:
    """[size, count]: column i holds 1 / width over the i-th adaptive bin."""
    matrix = np.zeros((size, count), np.float32)
    for i in range(count):
        begin, end = i * size // count, -(-(i + 1) * size // count)
        matrix[begin:end, i] = 1 / (end - begin)
    return matrix


table(
    ADAPTIVE,
    adaptive_avg_pool,
    when=lambda self: needs_float(self, "pooling"),
    note="float input",
)
