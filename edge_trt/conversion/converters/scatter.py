# SPDX-License-Identifier: Apache-2.0
"""Writing at places: scatters and assignments, with the reductions that TensorRT's Scatter lacks.

Scatter writes one of the updates where several have the same index. What PyTorch reduces there is
computed as a reduction over all updates of those that hit a place: exact, whatever the duplicates,
at the cost of places times updates, which a limit bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Literal

import numpy as np
import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import statically_known_true

from edge_trt.conversion.context import Context
from edge_trt.conversion.converters.index import addressed, write_slices
from edge_trt.conversion.registry import NO_NAN, converter
from edge_trt.conversion.size_ranges import most
from edge_trt.network.builder import Scalar, Size
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Scatter
from edge_trt.network.types import DType

aten = torch.ops.aten
Op = Literal["SUM", "PROD", "MAX", "MIN"]
OPS: dict[str, Op] = {
    "sum": "SUM", "add": "SUM", "mean": "SUM", "prod": "PROD", "multiply": "PROD",
    "amax": "MAX", "amin": "MIN",
}  # fmt: skip
LIMIT = 2**24
"""Most elements of places times updates: 64 MiB of float32."""
REDUCIBLE = (torch.float32, torch.float16, torch.bfloat16, torch.int32, torch.int64)


def _reducible(self: fx.Node, updates: list[Any]) -> str | None:
    """Why updates can't be reduced per place, where `updates` are the sizes of the whole work."""
    dtype, rank = self.meta["val"].dtype, self.meta["val"].dim()
    if dtype not in REDUCIBLE:
        return f"scattering with a reduction in {str(dtype)[6:]}: cast to int32 or float32"
    if rank > 7:
        return "scattering with a reduction in 8 dimensions: TensorRT has none left for it"
    if math.prod(map(most, updates)) > LIMIT:
        return (
            "TensorRT's Scatter does not reduce, and comparing every place with every update takes"
            f" more than {LIMIT} elements here: reduce fewer, or give sizes a range"
        )
    return None


def _scatter_reducible(self: fx.Node, dim: int, index: fx.Node) -> str | None:
    places: Any = self.meta["val"].shape[dim] if self.meta["val"].dim() else 1
    return _reducible(self, [places, *index.meta["val"].shape])


# -- along an axis -----------------------------------------------------------------------------


@converter(aten.scatter.src)
def scatter_src(ctx: Context, self: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    if 0 in index.shape:
        return self
    if self.rank == 0:
        return ctx.take(ctx.reshape(src, [-1]), 0, 0)
    index, src = ctx.to_rank(index, self.rank), ctx.to_rank(src, self.rank)  # a number may be a row
    return _write_elements(ctx, self, dim, index, _window(ctx, src, index))


@converter(aten.scatter.value)
def scatter_value(ctx: Context, self: Tensor, dim: int, index: Tensor, value: Scalar) -> Tensor:
    return scatter_src(ctx, self, dim, index, _everywhere(ctx, self, index, value))


def _write_elements(ctx: Context, x: Tensor, dim: int, index: Tensor, updates: Tensor) -> Tensor:
    axis = dim % x.rank
    size, count = ctx.size(x, axis), ctx.size(index, axis)
    if isinstance(size, int) and isinstance(count, int) and count <= size:
        return ctx.network.add(Scatter("ELEMENT", axis), x, index, updates)
    # TensorRT takes no more updates along an axis than it has places.
    room = ctx.pad(x, {axis: (0, count)}, "FILL", ctx.like(x, 0))
    written = ctx.network.add(Scatter("ELEMENT", axis), room, index, updates)
    return ctx.slice(written, axis, 0, size)


def _window(ctx: Context, src: Tensor, index: Tensor) -> Tensor:
    """The part of the source that belongs to the indices, which may be fewer."""
    axes = [a for a in range(src.rank) if src.shape[a] != index.shape[a]]
    if not axes:
        return src
    zeros, ones = [0] * len(axes), [1] * len(axes)
    return ctx.window(src, axes, zeros, [ctx.size(index, a) for a in axes], ones)


def _everywhere(ctx: Context, like: Tensor, index: Tensor, value: Scalar | Tensor) -> Tensor:
    """A value in the type of `like` and the shape of the index."""
    sizes = ctx.sizes(index)
    number = ctx.as_type(value, like.dtype)
    known = [s for s in sizes if isinstance(s, int)]
    if number.data is not None and len(known) == len(sizes):
        return ctx.constant(np.full(known, number.data), like.dtype)
    return ctx.expand(number, sizes)


@converter(
    aten.scatter_reduce.two,
    when=_scatter_reducible,
    note=f"places times updates up to {LIMIT}; amax and amin: {NO_NAN}",
)
def scatter_reduce(
    ctx: Context,
    self: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor,
    reduce: str,
    include_self: bool,
) -> Tensor:
    if 0 in index.shape:
        return self
    if self.rank == 0:
        vectors = (ctx.reshape(t, [-1]) for t in (self, index, src))
        x, places, updates = vectors
        whole = scatter_reduce(ctx, x, 0, places, updates, reduce, include_self)
        return ctx.squeeze(whole, [0])
    index, src = ctx.to_rank(index, self.rank), ctx.to_rank(src, self.rank)
    axis = dim % self.rank
    hits = _hits(ctx, index, axis, ctx.size(self, axis))
    updates = ctx.unsqueeze(_window(ctx, src, index), [axis])
    reached, count = _reduced(ctx, OPS[reduce], hits, updates, axis + 1), None
    if reduce == "mean" or not include_self:
        counted = ctx.reduce("SUM", ctx.cast(hits, DType.INT32), [axis + 1], False)
        count = _grown(ctx, counted, self, axis, 0)
    reached = _grown(ctx, reached, self, axis, _neutral(OPS[reduce], self.dtype))
    return _joined(ctx, reduce, self, reached, count, include_self)


@converter(aten.scatter_add.default, when=_scatter_reducible, note="as scatter_reduce")
def scatter_add(ctx: Context, self: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    return scatter_reduce(ctx, self, dim, index, src, "sum", True)


@converter(aten.scatter.reduce, when=_scatter_reducible, note="as scatter_reduce")
def scatter_with(
    ctx: Context, self: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str
) -> Tensor:
    return scatter_reduce(ctx, self, dim, index, src, reduce, True)


@converter(aten.scatter.value_reduce, when=_scatter_reducible, note="as scatter_reduce")
def scatter_value_with(
    ctx: Context, self: Tensor, dim: int, index: Tensor, value: Scalar, reduce: str
) -> Tensor:
    src = _everywhere(ctx, self, index, value)
    return scatter_reduce(ctx, self, dim, index, src, reduce, True)


def _hits(ctx: Context, index: Tensor, axis: int, size: Size) -> Tensor:
    """Which update hits which place: [.., places, updates, ..] with the places at `axis`."""
    places = ctx.cast(ctx.arange(size), index.dtype)
    places = ctx.unsqueeze(places, range(1, index.rank - axis + 1))
    return ctx.elementwise("EQUAL", ctx.unsqueeze(index, [axis]), places)


def _reduced(ctx: Context, op: Op, hits: Tensor, updates: Tensor, axis: int) -> Tensor:
    neutral = ctx.like(updates, _neutral(op, updates.dtype))
    return ctx.reduce(op, ctx.select(hits, updates, neutral), [axis], False)


def _neutral(op: Op, dtype: DType) -> Scalar:
    """What a reduction of nothing gives."""
    if op in ("SUM", "PROD"):
        return 0 if op == "SUM" else 1
    if dtype.is_float:
        return -math.inf if op == "MAX" else math.inf
    limits = np.iinfo(dtype.numpy)
    return int(limits.min if op == "MAX" else limits.max)


def _grown(ctx: Context, part: Tensor, whole: Tensor, axis: int, value: Scalar) -> Tensor:
    """What lies beyond the indices on other axes, filled with a value."""
    axes = [a for a in range(whole.rank) if a != axis and part.shape[a] != whole.shape[a]]
    missing = {a: ctx.calculate("SUB", ctx.size(whole, a), ctx.size(part, a)) for a in axes}
    return ctx.pad(part, {a: (0, n) for a, n in missing.items()}, "FILL", ctx.like(part, value))


def _joined(
    ctx: Context, reduce: str, x: Tensor, reached: Tensor, count: Tensor | None, include_self: bool
) -> Tensor:
    """The reduced updates with what was there before."""
    result = ctx.elementwise(OPS[reduce], x, reached) if include_self else reached
    if count is None:
        return result
    if reduce == "mean":
        number = ctx.elementwise("SUM" if include_self else "MAX", count, 1)
        division = "DIV" if x.dtype.is_float else "FLOOR_DIV"
        result = ctx.elementwise(division, result, ctx.cast(number, x.dtype))
    if include_self:
        return result
    return ctx.select(ctx.elementwise("GREATER", count, 0), result, x)


# -- by indices --------------------------------------------------------------------------------


def _puttable(
    self: fx.Node, indices: Sequence[fx.Node | None], values: fx.Node, accumulate: bool
) -> str | None:
    x, written = self.meta["val"], values.meta["val"]
    given = [(place, i.meta["val"]) for place, i in enumerate(indices) if i is not None]
    if any(i.dtype in (torch.bool, torch.uint8) for _, i in given):
        (place, mask), *others = given
        after = x.dim() - place - mask.dim()
        rows = written.dim() - after - 1
        one = rows < 0 or statically_known_true(written.shape[rows] == 1)
        if others:
            return "a mask beside other indices: make it part of one mask, or of integer indices"
        if not one:
            return (
                "as many values as the mask has trues, a number that only a run tells: give values"
                " for all places, and choose by torch.where(mask, values, x)"
            )
    elif accumulate:
        backwards = zip_longest(*(reversed(i.shape) for _, i in given), fillvalue=1)
        return _reducible(self, [*x.shape, *(max(map(most, sizes)) for sizes in backwards)])
    return None


@converter(
    aten.index_put.default,
    aten._unsafe_index_put.default,
    when=_puttable,
    note=f"masks with one value for all trues; accumulated: places times updates up to {LIMIT}",
)
def index_put(
    ctx: Context,
    self: Tensor,
    indices: Sequence[Tensor | None],
    values: Tensor,
    accumulate: bool,
) -> Tensor:
    place = next(p for p, i in enumerate(indices) if i is not None)
    if (mask := indices[place]) is not None and mask.dtype in (DType.BOOL, DType.UINT8):
        return _write_masked(ctx, self, place, mask, values, accumulate)
    x, index, axis, order = addressed(ctx, self, indices)
    if 0 in index.shape:
        return self
    sizes, places = ctx.sizes(x), ctx.sizes(index)
    updates = ctx.expand(values, [*sizes[:axis], *places, *sizes[axis + 1 :]])
    index = ctx.reshape(index, [-1])
    count = ctx.size(index, 0)
    updates = ctx.reshape(updates, [*sizes[:axis], count, *sizes[axis + 1 :]])
    if accumulate:
        hits = ctx.unsqueeze(_hits(ctx, index, 0, sizes[axis]), range(2, 2 + x.rank - axis - 1))
        reached = _reduced(ctx, "SUM", hits, ctx.unsqueeze(updates, [axis]), axis + 1)
        written = ctx.elementwise("SUM", x, reached)
    else:
        written = write_slices(ctx, x, axis, index, updates)
    moved = ctx.reshape(written, [ctx.size(self, a) for a in order])
    return ctx.permute(moved, [order.index(a) for a in range(self.rank)])


def _write_masked(
    ctx: Context, x: Tensor, place: int, mask: Tensor, values: Tensor, accumulate: bool
) -> Tensor:
    """One value, or one per place behind the mask, where the mask is true, else x."""
    after = x.rank - place - mask.rank
    if values.rank > after:  # the axis of the trues, of size 1, becomes the mask's axes
        values = ctx.squeeze(values, [values.rank - after - 1])
    before = values.rank - after
    if before > 0:
        values = ctx.unsqueeze(values, range(before, before + mask.rank))
    condition = ctx.unsqueeze(ctx.cast(mask, DType.BOOL), range(mask.rank, mask.rank + after))
    values = ctx.cast(values, x.dtype)
    if accumulate:
        values = ctx.elementwise("OR" if x.dtype is DType.BOOL else "SUM", x, values)
    return ctx.select(condition, values, x)
