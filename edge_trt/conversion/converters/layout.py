# SPDX-License-Identifier: Apache-2.0
"""Operators that reorder or rename dimensions without touching elements."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import converter, refuse
from edge_trt.network.builder import Size
from edge_trt.network.graph import Tensor

aten = torch.ops.aten


def _reshaped(ctx: Context, x: Tensor, sizes: Sequence[Size]) -> Tensor:
    """A reshape, with the numbers that torch knows of the result in place of -1 and of sizes."""
    pairs = zip(sizes, ctx.result.shape, strict=True)
    return ctx.reshape(x, [known if isinstance(known, int) else size for size, known in pairs])


@converter(aten.view.default, aten._unsafe_view.default)
def view(ctx: Context, self: Tensor, size: Sequence[Size]) -> Tensor:
    return _reshaped(ctx, self, size)


@converter(aten.reshape.default)
def reshape(ctx: Context, self: Tensor, shape: Sequence[Size]) -> Tensor:
    return _reshaped(ctx, self, shape)


@converter(aten.flatten.using_ints)
def flatten(ctx: Context, self: Tensor, start_dim: int, end_dim: int) -> Tensor:
    if self.rank == 0:
        return ctx.reshape(self, [1])
    first, last = start_dim % self.rank, end_dim % self.rank
    sizes = ctx.sizes(self)
    merged = sizes[first] if first == last else -1
    return _reshaped(ctx, self, [*sizes[:first], merged, *sizes[last + 1 :]])


@converter(aten.unflatten.int)
def unflatten(ctx: Context, self: Tensor, dim: int, sizes: Sequence[Size]) -> Tensor:
    axis, whole = dim % self.rank, ctx.sizes(self)
    return _reshaped(ctx, self, [*whole[:axis], *sizes, *whole[axis + 1 :]])


@converter(aten.permute.default)
def permute(ctx: Context, self: Tensor, dims: Sequence[int]) -> Tensor:
    return ctx.permute(self, dims)


@converter(aten.transpose.int)
def transpose(ctx: Context, self: Tensor, dim0: int, dim1: int) -> Tensor:
    order = list(range(self.rank))
    if order:
        order[dim0], order[dim1] = order[dim1], order[dim0]
    return ctx.permute(self, order)


@converter(aten.t.default)
def t(ctx: Context, self: Tensor) -> Tensor:
    return ctx.permute(self, list(range(self.rank))[::-1])


@converter(aten.squeeze.default)
def squeeze(ctx: Context, self: Tensor) -> Tensor:
    return _squeeze(ctx, self, range(self.rank))


@converter(aten.squeeze.dim)
def squeeze_dim(ctx: Context, self: Tensor, dim: int) -> Tensor:
    return _squeeze(ctx, self, [dim])


@converter(aten.squeeze.dims)
def squeeze_dims(ctx: Context, self: Tensor, dim: Sequence[int]) -> Tensor:
    return _squeeze(ctx, self, dim)


def _squeeze(ctx: Context, x: Tensor, dims: Sequence[int]) -> Tensor:
    """PyTorch leaves sizes other than 1 alone; torch.export decided what symbolic ones are."""
    axes = [d % x.rank for d in dims if x.rank and x.shape[d] == 1]
    return ctx.squeeze(x, axes) if axes else x


@converter(aten.unsqueeze.default)
def unsqueeze(ctx: Context, self: Tensor, dim: int) -> Tensor:
    return ctx.unsqueeze(self, [dim])


@converter(aten.expand.default)
def expand(ctx: Context, self: Tensor, size: Sequence[Size]) -> Tensor:
    return ctx.expand(self, size)


@converter(aten.pixel_shuffle.default)
def pixel_shuffle(ctx: Context, self: Tensor, upscale_factor: int) -> Tensor:
    r = upscale_factor
    *batch, channels, height, width = ctx.sizes(self)
    kept, n = ctx.calculate("FLOOR_DIV", channels, r * r), len(batch)
    tall, wide = (ctx.calculate("PROD", size, r) for size in (height, width))
    split = ctx.reshape(self, [*batch, kept, r, r, height, width])
    order = [*range(n), n, n + 3, n + 1, n + 4, n + 2]
    return ctx.reshape(ctx.permute(split, order), [*batch, kept, tall, wide])


@converter(aten.pixel_unshuffle.default)
def pixel_unshuffle(ctx: Context, self: Tensor, downscale_factor: int) -> Tensor:
    r = downscale_factor
    *batch, channels, height, width = ctx.sizes(self)
    grown, n = ctx.calculate("PROD", channels, r * r), len(batch)
    low, narrow = (ctx.calculate("FLOOR_DIV", size, r) for size in (height, width))
    split = ctx.reshape(self, [*batch, channels, low, r, narrow, r])
    order = [*range(n), n, n + 2, n + 4, n + 1, n + 3]
    return ctx.reshape(ctx.permute(split, order), [*batch, grown, low, narrow])


refuse(
    "TensorRT's tensors have no strides: use reshape, slices and slice_scatter",
    aten.as_strided_copy,
    aten.as_strided_scatter,
    aten.resize,
    aten.resize_as,
)
