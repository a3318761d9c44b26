# SPDX-License-Identifier: Apache-2.0
"""Picking and replacing elements: slices, lookups, gathers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import fx

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import converter, refuse
from edge_trt.network.builder import Size
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Gather, Scatter
from edge_trt.network.types import DType

aten = torch.ops.aten
END = 2**62
"""Slice ends beyond this mean: up to the end (torch writes 2**63 - 1)."""


def _from_end(ctx: Context, value: Size, size: Size) -> Size:
    """A computed place with a negative one counted from the end."""
    if ctx.is_count(value):
        return value
    below = ctx.calculate("MIN", ctx.calculate("MAX", ctx.calculate("SUB", 0, value), 0), 1)
    return ctx.calculate("SUM", value, ctx.calculate("PROD", below, size))


def _bound(ctx: Context, value: Size | None, default: Size, size: Size) -> Size:
    """A slice's start or end as PyTorch reads it: from the end if negative, and clipped."""
    if value is None or (isinstance(value, int) and value >= END):
        return default
    if ctx.is_count(value):
        return ctx.calculate("MIN", value, size)
    if isinstance(value, int):
        return ctx.calculate("MAX", ctx.calculate("SUM", size, value), 0)
    inside = ctx.calculate("MAX", _from_end(ctx, value, size), 0)
    return ctx.calculate("MIN", inside, size)


@converter(aten.slice.Tensor)
def slice_(
    ctx: Context, self: Tensor, dim: int, start: Size | None, end: Size | None, step: Size
) -> Tensor:
    size = ctx.size(self, dim)
    first = 0 if start == 0 else _bound(ctx, start, 0, size)
    count: Size
    if isinstance(known := ctx.result.shape[dim], int):
        count = known
    elif first == 0 and step == 1:
        count = _bound(ctx, end, size, size)
    else:
        count = _count(ctx, first, _bound(ctx, end, size, size), step)
    if count is size or count == size:
        return self
    if isinstance(step, Tensor):
        steps = ctx.elementwise("PROD", ctx.arange(count), step)
        return ctx.gather(self, ctx.elementwise("SUM", steps, first), dim)
    return ctx.slice(self, dim, first, count, step)


def _count(ctx: Context, first: Size, last: Size, step: Size) -> Size:
    """How many elements there are from one place to before another."""
    rounding = ctx.calculate("SUB", step, 1)
    span = ctx.calculate("SUM", ctx.calculate("SUB", last, first), rounding)
    return ctx.calculate("MAX", ctx.calculate("FLOOR_DIV", span, step), 0)


@converter(aten.select.int)
def select(ctx: Context, self: Tensor, dim: int, index: Size) -> Tensor:
    if isinstance(index, Tensor):
        place = _from_end(ctx, index, ctx.size(self, dim))
        return ctx.gather(self, ctx.as_tensor(place), dim)
    return ctx.take(self, dim, index)


@converter(aten.narrow.default)
def narrow(ctx: Context, self: Tensor, dim: int, start: Size, length: Size) -> Tensor:
    return ctx.slice(self, dim, _bound(ctx, start, 0, ctx.size(self, dim)), length)


@converter(aten.slice_scatter.default)
def slice_scatter(
    ctx: Context,
    self: Tensor,
    src: Tensor,
    dim: int,
    start: Size | None,
    end: Size | None,
    step: Size,
) -> Tensor:
    size, axis = ctx.size(self, dim), dim % self.rank
    first, count = _bound(ctx, start, 0, size), ctx.size(src, axis)
    src = ctx.as_result(src)
    if step == 1:
        after = ctx.calculate("SUM", first, count)
        rest = ctx.calculate("SUB", size, after)
        before, behind = ctx.slice(self, axis, 0, first), ctx.slice(self, axis, after, rest)
        parts = [part for part in (before, src, behind) if part.shape[axis] != 0]
        return ctx.concat(parts, axis) if parts else self
    steps = ctx.elementwise("PROD", ctx.arange(count), step)
    return write_slices(ctx, self, axis, ctx.elementwise("SUM", steps, first), src)


@converter(aten.select_scatter.default)
def select_scatter(ctx: Context, self: Tensor, src: Tensor, dim: int, index: Size) -> Tensor:
    axis = dim % self.rank
    place = index
    if isinstance(index, Tensor):
        place = _from_end(ctx, index, ctx.size(self, axis))
    elif index < 0:
        place = ctx.calculate("SUM", ctx.size(self, axis), index)
    return slice_scatter(ctx, self, ctx.unsqueeze(src, [axis]), axis, place, None, 1)


def write_slices(ctx: Context, x: Tensor, axis: int, index: Tensor, updates: Tensor) -> Tensor:
    """Slices of x along an axis replaced, at the places of a vector of indices."""
    order = [axis, *(a for a in range(x.rank) if a != axis)]
    front = [ctx.permute(t, order) for t in (x, updates)]
    written = ctx.network.add(Scatter("ND"), front[0], ctx.unsqueeze(index, [1]), front[1])
    return ctx.permute(written, [order.index(a) for a in range(x.rank)])


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
        return ctx.expand(self, ctx.sizes(index))
    if index.rank == 0:
        return ctx.gather(self, index, 0)
    return ctx.network.add(Gather(dim % self.rank, "ELEMENT"), self, index)


def _integer_indices(indices: Sequence[fx.Node | None]) -> str | None:
    types = [i.meta["val"].dtype for i in indices if i is not None]
    if torch.bool in types or torch.uint8 in types:
        return (
            "indexing by a mask gives a shape that depends on data, and TensorRT-RTX builds no such"
            " layer without a GPU: keep all elements and choose by torch.where(mask, a, b), or"
            " leave it to the fallback"
        )
    return None


@converter(
    aten.index.Tensor,
    aten._unsafe_index.Tensor,
    when=_integer_indices,
    note="integer indices or constant masks; others give a shape that depends on data",
)
def index(ctx: Context, self: Tensor, indices: Sequence[Tensor | None]) -> Tensor:
    x, flat, axis, _ = addressed(ctx, self, indices)
    return ctx.gather(x, flat, axis)


def addressed(
    ctx: Context, x: Tensor, indices: Sequence[Tensor | None]
) -> tuple[Tensor, Tensor, int, list[int]]:
    """Several indices as one index into one axis.

    Returns:
        x with the indexed axes merged into one, the index of all of them, that axis, and the order
        in which the axes of x stand.
    """
    places = [place for place, i in enumerate(indices) if i is not None]
    given = [positive(ctx, i, ctx.size(x, p)) for p in places if (i := indices[p]) is not None]
    first, order = places[0], list(range(x.rank))
    if places != list(range(first, first + len(places))):
        # With a slice between the indices, PyTorch puts what they pick in front.
        order, first = [*places, *(axis for axis in order if axis not in places)], 0
        x = ctx.permute(x, order)
    return *_flattened(ctx, x, given, first), first, order


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


refuse(
    "the result's size depends on values, and TensorRT-RTX builds no such layer without a GPU:"
    " keep all elements and mark those that count by a mask, or leave it to the fallback",
    aten.nonzero, aten.nonzero_numpy, aten.argwhere, aten.where.default, aten.masked_select,
)  # fmt: skip
refuse(
    "every place is counted for every result, which takes more than 2**24 elements here: search"
    " fewer elements, or give their sizes a range",
    aten.nonzero_static,
)
refuse(
    "without output_size the result's size depends on values: give output_size or constant counts,"
    " and at most 2**24 places times counts",
    aten.repeat_interleave.Tensor, aten.repeat_interleave.self_Tensor,
)  # fmt: skip
refuse(
    "every value is compared with every element, which takes more than 2**24 elements here: search"
    " fewer values, or give their sizes a range",
    aten.searchsorted, aten.bucketize, aten.isin,
)  # fmt: skip
refuse(
    "rows times bags (for a maximum, times columns too) are more than 2**24 here, or more is read"
    " than the first result: give bags of one size as a matrix of indices, to F.embedding_bag",
    aten.embedding_bag, aten._embedding_bag, aten._embedding_bag_forward_only,
)  # fmt: skip
refuse("TensorRT does not read bits as another type: convert the values", aten.view.dtype)
