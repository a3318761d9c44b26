# SPDX-License-Identifier: Apache-2.0
"""Picking elements: slices, lookups, gathers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import statically_known_true

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import converter
from edge_trt.network.builder import Size
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Gather
from edge_trt.network.types import DType

aten = torch.ops.aten
END = 2**62
"""Slice ends beyond this mean: up to the end (torch writes 2**63 - 1)."""


def _known_sign(index: object) -> str | None:
    if isinstance(index, fx.Node) and not statically_known_true(index.meta["val"] >= 0):
        return "a computed index that may be negative: add the dimension's size to it in the model"
    return None


def _known_start(start: object) -> str | None:
    return _known_sign(start)


def _known_bounds(start: object, end: object) -> str | None:
    return _known_sign(start) or _known_sign(end)


def _bound(ctx: Context, value: Size | None, default: Size, size: Size) -> Size:
    """A slice's start or end as PyTorch reads it: from the end if negative, and clipped."""
    if value is None or (isinstance(value, int) and value >= END):
        return default
    if isinstance(value, int) and value < 0:
        return ctx.calculate("MAX", ctx.calculate("SUM", size, value), 0)
    return ctx.calculate("MIN", value, size)


@converter(aten.slice.Tensor, when=_known_bounds, note="computed bounds at least 0")
def slice_(
    ctx: Context, self: Tensor, dim: int, start: Size | None, end: Size | None, step: int
) -> Tensor:
    size = ctx.size(self, dim)
    first = 0 if start == 0 else _bound(ctx, start, 0, size)
    count: Size
    if isinstance(known := ctx.result.shape[dim], int):
        count = known
    elif first == 0 and step == 1:
        count = _bound(ctx, end, size, size)
    else:
        span = ctx.calculate("SUB", _bound(ctx, end, size, size), first)
        steps = ctx.calculate("FLOOR_DIV", ctx.calculate("SUM", span, step - 1), step)
        count = ctx.calculate("MAX", steps, 0)
    if count is size or count == size:
        return self
    return ctx.slice(self, dim, first, count, step)


@converter(aten.select.int, when=_known_sign, note="computed index at least 0")
def select(ctx: Context, self: Tensor, dim: int, index: Size) -> Tensor:
    if isinstance(index, Tensor):
        return ctx.gather(self, index, dim)
    return ctx.take(self, dim, index)


@converter(aten.narrow.default, when=_known_start, note="computed start at least 0")
def narrow(ctx: Context, self: Tensor, dim: int, start: Size, length: Size) -> Tensor:
    return ctx.slice(self, dim, _bound(ctx, start, 0, ctx.size(self, dim)), length)


def positive(ctx: Context, indices: Tensor, size: Size) -> Tensor:
    """Indices with negative ones counted from the end; constants are mapped on the spot."""
    if indices.data is not None:
        if not (indices.data < 0).any():
            return indices
        if isinstance(size, int):
            return ctx.derived(indices, (indices.data % size).astype(indices.data.dtype))
    length = ctx.cast(size, indices.dtype) if isinstance(size, Tensor) else size
    shifted = ctx.elementwise("SUM", indices, length)
    return ctx.select(ctx.elementwise("LESS", indices, 0), shifted, indices)


@converter(aten.index_select.default)
def index_select(ctx: Context, self: Tensor, dim: int, index: Tensor) -> Tensor:
    if self.rank == 0:
        return self
    return ctx.gather(self, ctx.to_rank(index, 1), dim)


@converter(aten.embedding.default)
def embedding(ctx: Context, weight: Tensor, indices: Tensor) -> Tensor:
    return ctx.gather(weight, indices, 0)


@converter(aten.gather.default)
def gather(ctx: Context, self: Tensor, dim: int, index: Tensor) -> Tensor:
    if self.rank == 0:
        return self
    return ctx.network.add(Gather(dim % self.rank, "ELEMENT"), self, index)


def _integer_indices(indices: Sequence[fx.Node | None]) -> str | None:
    types = [i.meta["val"].dtype for i in indices if i is not None]
    if torch.bool in types or torch.uint8 in types:
        return "indexing by a mask gives a shape that depends on data: use torch.where"
    return None


@converter(aten.index.Tensor, when=_integer_indices, note="integer indices")
def index(ctx: Context, self: Tensor, indices: Sequence[Tensor | None]) -> Tensor:
    places = [place for place, i in enumerate(indices) if i is not None]
    given = [positive(ctx, i, ctx.size(self, p)) for p in places if (i := indices[p]) is not None]
    first = places[0]
    if places != list(range(first, first + len(places))):
        # With a slice between the indices, PyTorch puts what they pick in front.
        rest = [axis for axis in range(self.rank) if axis not in places]
        self, first = ctx.permute(self, [*places, *rest]), 0
    return ctx.gather(*_flattened(ctx, self, given, first), first)


def _flattened(
    ctx: Context, x: Tensor, indices: Sequence[Tensor], first: int
) -> tuple[Tensor, Tensor]:
    """Several adjacent indices as one index into one flat dimension."""
    if len(indices) == 1:
        return x, indices[0]
    sizes, last = ctx.sizes(x), first + len(indices)
    flat = ctx.cast(indices[0], DType.INT64)
    for index, size in zip(indices[1:], sizes[first + 1 : last], strict=True):
        flat = ctx.elementwise("PROD", flat, size)
        flat = ctx.elementwise("SUM", flat, ctx.cast(index, DType.INT64))
    merged = ctx.product(sizes[first:last])
    return ctx.reshape(x, [*sizes[:first], merged, *sizes[last:]]), flat
