# SPDX-License-Identifier: Apache-2.0
"""Joining, splitting and repeating tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import converter
from edge_trt.network.builder import Size
from edge_trt.network.graph import Tensor

aten = torch.ops.aten


@converter(aten.cat.default)
def cat(ctx: Context, tensors: Sequence[Tensor], dim: int) -> Tensor:
    # PyTorch still joins a vector without elements to anything.
    parts = [ctx.as_result(t) for t in tensors if t.shape != (0,) or ctx.result.rank == 1]
    return ctx.concat(parts, dim)


@converter(aten.stack.default)
def stack(ctx: Context, tensors: Sequence[Tensor], dim: int) -> Tensor:
    parts = [ctx.unsqueeze(ctx.as_result(t), [dim]) for t in tensors]
    return ctx.concat(parts, dim)


def _pieces(ctx: Context, x: Tensor, dim: int, sizes: Sequence[Size]) -> list[Tensor]:
    pieces: list[Tensor] = []
    start: Size = 0
    for size in sizes:
        pieces.append(ctx.slice(x, dim, start, size))
        start = ctx.calculate("SUM", start, size)
    return pieces


@converter(aten.split_with_sizes.default)
def split_with_sizes(
    ctx: Context, self: Tensor, split_sizes: Sequence[Size], dim: int
) -> list[Tensor]:
    return _pieces(ctx, self, dim, split_sizes)


@converter(aten.split.sizes)
def split_sizes(ctx: Context, self: Tensor, split_size: Sequence[Size], dim: int) -> list[Tensor]:
    return _pieces(ctx, self, dim, split_size)


def _equal_pieces(ctx: Context, x: Tensor, dim: int, size: Size) -> list[Tensor]:
    """As many pieces of one size as torch says, the last one with what is left."""
    whole = len(ctx.results) - 1
    rest = ctx.calculate("SUB", ctx.size(x, dim), ctx.calculate("PROD", size, whole))
    return _pieces(ctx, x, dim, [size] * whole + [rest])


@converter(aten.split.Tensor)
def split(ctx: Context, self: Tensor, split_size: Size, dim: int) -> list[Tensor]:
    return _equal_pieces(ctx, self, dim, split_size)


@converter(aten.chunk.default)
def chunk(ctx: Context, self: Tensor, chunks: int, dim: int) -> list[Tensor]:
    above = ctx.calculate("SUM", ctx.size(self, dim), chunks - 1)
    return _equal_pieces(ctx, self, dim, ctx.calculate("FLOOR_DIV", above, chunks))


@converter(aten.unbind.int)
def unbind(ctx: Context, self: Tensor, dim: int) -> list[Tensor]:
    return [ctx.take(self, dim, i) for i in range(len(ctx.results))]


@converter(aten.repeat.default)
def repeat(ctx: Context, self: Tensor, repeats: Sequence[Size]) -> Tensor:
    x = ctx.to_rank(self, len(repeats))
    for axis, count in enumerate(repeats):
        if not (isinstance(count, int) and count == 1):
            sizes = ctx.sizes(x)
            copies = [*sizes[:axis], count, *sizes[axis:]]
            sizes[axis] = ctx.calculate("PROD", count, sizes[axis])
            x = ctx.reshape(ctx.expand(ctx.unsqueeze(x, [axis]), copies), sizes)
    return x


@converter(aten.tile.default)
def tile(ctx: Context, self: Tensor, dims: Sequence[Size]) -> Tensor:
    return repeat(ctx, self, [1] * (self.rank - len(dims)) + list(dims))


@converter(aten.roll.default)
def roll(ctx: Context, self: Tensor, shifts: Sequence[Size], dims: Sequence[int]) -> Tensor:
    if not dims:
        flat = ctx.reshape(self, [-1])
        return ctx.reshape(roll(ctx, flat, shifts, [0]), ctx.sizes(self))
    x = self
    for shift, axis in zip(shifts, dims, strict=True):
        size = ctx.size(x, axis)
        back = ctx.calculate("SUB", 0, shift)
        cut = ctx.modulo(back, ctx.calculate("MAX", size, 1))  # of 0 elements, none is in front
        if not (isinstance(cut, int) and cut == 0):
            rest = ctx.calculate("SUB", size, cut)
            head, tail = ctx.slice(x, axis, 0, cut), ctx.slice(x, axis, cut, rest)
            x = ctx.concat([tail, head], axis)
    return x


@converter(aten.flip.default)
def flip(ctx: Context, self: Tensor, dims: Sequence[int]) -> Tensor:
    if not dims or self.rank == 0:
        return self
    axes = [axis for dim in dims if self.shape[axis := dim % self.rank] != 0]
    sizes = [ctx.size(self, axis) for axis in axes]
    last = [ctx.calculate("SUB", size, 1) for size in sizes]
    return ctx.window(self, axes, last, sizes, [-1] * len(axes))
