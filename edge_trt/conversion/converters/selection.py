# SPDX-License-Identifier: Apache-2.0
"""Largest and smallest elements: arg-reductions, top-k and sorting.

TensorRT's TopK says nothing about the order of equal elements. PyTorch does for arg-reductions (the
first one) and for stable sorts (as they came), so those take the layers that decide it.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import fx

from edge_trt.conversion.context import Context, widened
from edge_trt.conversion.registry import NO_NAN, converter, refuse, table
from edge_trt.conversion.size_ranges import bounds
from edge_trt.network.builder import Size
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Cumulative, TopK
from edge_trt.network.types import DType

aten = torch.ops.aten
Order = Literal["MAX", "MIN"]
LIMIT = 3840
"""Largest k of TensorRT's TopK layer (TensorRT operator documentation)."""
DEPTH = 4
"""TopK works along one of the last dimensions, so many of them."""
NO_PLACE = 2**31 - 1


def topk(ctx: Context, op: Order, x: Tensor, k: Size, dim: int) -> tuple[Tensor, Tensor]:
    """Values and int64 indices. TopK wants two dimensions, so a vector is a matrix of one row."""
    if x.rank == 0:
        return x, ctx.constant(0)
    dtype, axis = x.dtype, dim % x.rank
    x = ctx.cast(x, widened(dtype))
    if axis < x.rank - DEPTH:
        order = [*(a for a in range(x.rank) if a != axis), axis]
        back = [order.index(a) for a in range(x.rank)]
        moved = topk(ctx, op, ctx.permute(x, order), k, -1)
        values, indices = (ctx.permute(t, back) for t in moved)
        return ctx.cast(values, dtype), indices
    vector = x.rank == 1
    x = ctx.unsqueeze(x, [0]) if vector else x
    if isinstance(k, int):
        results = ctx.network.add_multi(TopK(op, k, axis + vector), x)
    else:
        count = ctx.cast(k, DType.INT32)
        results = ctx.network.add_multi(TopK(op, 0, axis + vector), x, count)
        (size,) = ctx.dims([k])
        sizes = [size if a == axis + vector else d for a, d in enumerate(x.shape)]
        results = tuple(ctx.refine(t, sizes) for t in results)
    values, indices = (ctx.squeeze(t, [0]) if vector else t for t in results)
    return ctx.cast(values, dtype), ctx.cast(indices, DType.INT64)


def _places(ctx: Context, x: Tensor, axis: int) -> Tensor:
    """0, 1, 2, ... along an axis, of sizes that broadcast to x."""
    count: Size = ctx.size(x, axis)
    places = ctx.cast(ctx.arange(count), DType.INT32)
    return ctx.unsqueeze(places, [a for a in range(x.rank) if a != axis])


def _extreme(ctx: Context, op: Order, self: Tensor, dim: int, keepdim: bool) -> tuple[Tensor, ...]:
    """The extreme element and its first place: the least of the places that nothing surpasses."""
    if self.rank == 0:
        return self, ctx.constant(0)
    axis = dim % self.rank
    x = ctx.cast(self, widened(self.dtype))
    value = ctx.reduce(op, x, [axis], keep_dims=True)
    surpassed = ctx.elementwise("LESS" if op == "MAX" else "GREATER", x, value)
    none = ctx.constant(NO_PLACE, DType.INT32)
    place = ctx.reduce("MIN", ctx.select(surpassed, none, _places(ctx, x, axis)), [axis], True)
    results = (ctx.cast(value, self.dtype), ctx.cast(place, DType.INT64))
    return results if keepdim else tuple(ctx.squeeze(t, [axis]) for t in results)


def _arg(ctx: Context, op: Order, self: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    if dim is not None:
        return _extreme(ctx, op, self, dim, keepdim)[1]
    index = _extreme(ctx, op, ctx.reshape(self, [-1]), 0, True)[1]
    return ctx.reshape(index, [1] * ctx.result.rank)


table({aten.argmax.default: "MAX", aten.argmin.default: "MIN"}, _arg, note=NO_NAN)
table({aten.max.dim: "MAX", aten.min.dim: "MIN"}, _extreme, note=NO_NAN)


def _small_k(k: Any) -> str | None:
    most = bounds(k.meta["val"] if isinstance(k, fx.Node) else k)[1]
    if most <= LIMIT:
        return None
    many = "what only a run knows" if most == math.inf else str(most)
    return (
        f"the TopK layer of TensorRT gives at most {LIMIT} elements, not {many}: take fewer, or"
        " give the size a narrower range"
    )


def _in_axis(self: fx.Node, dim: int) -> Any:
    shape = self.meta["val"].shape
    return shape[dim] if len(shape) else 1


@converter(aten.topk.default, when=_small_k, note=f"k at most {LIMIT}; {NO_NAN}")
def topk_(ctx: Context, self: Tensor, k: Size, dim: int, largest: bool) -> tuple[Tensor, Tensor]:
    return topk(ctx, "MAX" if largest else "MIN", self, k, dim)


def _small_axis(self: fx.Node, dim: int) -> str | None:
    return _small_k(_in_axis(self, dim))


@converter(aten.sort.default, when=_small_axis, note=f"size up to {LIMIT}; {NO_NAN}")
def sort(ctx: Context, self: Tensor, dim: int, descending: bool) -> tuple[Tensor, Tensor]:
    k = ctx.size(self, dim) if self.rank else 1
    return topk(ctx, "MAX" if descending else "MIN", self, k, dim)


@converter(aten.sort.stable, when=_small_axis, note=f"size up to {LIMIT}; {NO_NAN}")
def sort_stable(
    ctx: Context, self: Tensor, stable: bool | None, dim: int, descending: bool
) -> tuple[Tensor, Tensor]:
    values, indices = sort(ctx, self, dim, descending)
    if not stable or self.rank == 0:
        return values, indices
    return values, _as_they_came(ctx, values, indices, dim % self.rank)


def _as_they_came(ctx: Context, values: Tensor, indices: Tensor, axis: int) -> Tensor:
    """Indices of a sort, ascending where values are equal.

    Runs of equal values are numbered, and the places sorted again by number * size + index, which
    are all different.
    """
    size = ctx.size(values, axis)
    x = ctx.cast(values, widened(values.dtype))
    pairs = ctx.calculate("SUB", size, 1)
    before = ctx.slice(x, axis, 0, pairs)
    same = ctx.elementwise("EQUAL", before, ctx.slice(x, axis, 1, pairs))
    starts = ctx.cast(ctx.unary("NOT", same), DType.INT32)
    number = ctx.network.add(Cumulative(axis), starts)
    number = ctx.pad(number, {axis: (1, 0)}, "FILL", ctx.constant(0, DType.INT32))
    span = size if isinstance(size, int) else ctx.cast(size, DType.INT32)
    first = ctx.elementwise("PROD", number, span)  # the least key of a run
    keys = ctx.elementwise("SUM", first, ctx.cast(indices, DType.INT32))
    ordered = ctx.cast(topk(ctx, "MIN", keys, size, axis)[0], DType.INT32)
    return ctx.cast(ctx.elementwise("SUB", ordered, first), DType.INT64)


def _ranked(ctx: Context, self: Tensor, rank: Size, dim: int, keepdim: bool) -> tuple[Tensor, ...]:
    """The element that has `rank` (from 1) in ascending order, and a place of it."""
    if self.rank == 0:
        return self, ctx.constant(0)
    axis = dim % self.rank
    size = self.shape[axis]
    op: Order = "MIN"
    if isinstance(size, int) and isinstance(rank, int) and 2 * rank > size + 1:
        op, rank = "MAX", size - rank + 1  # fewer from the other end
    found = topk(ctx, op, self, rank, axis)
    last = [ctx.slice(t, axis, ctx.calculate("SUB", rank, 1), 1) for t in found]
    return tuple(last) if keepdim else tuple(ctx.squeeze(t, [axis]) for t in last)


def _small_rank(self: fx.Node, k: Any, dim: int) -> str | None:
    size = _in_axis(self, dim)
    return _small_k(min(k, size - k + 1) if isinstance(k, int) and isinstance(size, int) else k)


@converter(
    aten.kthvalue.default, when=_small_rank, note=f"k at most {LIMIT} from one end; {NO_NAN}"
)
def kthvalue(ctx: Context, self: Tensor, k: Size, dim: int, keepdim: bool) -> tuple[Tensor, ...]:
    return _ranked(ctx, self, k, dim, keepdim)


def _middle(ctx: Context, size: Size) -> Size:
    return ctx.calculate("FLOOR_DIV", ctx.calculate("SUM", size, 1), 2)


def _small_half(self: fx.Node, dim: int) -> str | None:
    return _small_k((_in_axis(self, dim) + 1) // 2)


@converter(aten.median.dim, when=_small_half, note=f"size up to {2 * LIMIT}; {NO_NAN}")
def median_dim(ctx: Context, self: Tensor, dim: int, keepdim: bool) -> tuple[Tensor, ...]:
    size = ctx.size(self, dim) if self.rank else 1
    return _ranked(ctx, self, _middle(ctx, size), dim, keepdim)


def _small_half_of_all(self: fx.Node) -> str | None:
    return _small_k((self.meta["val"].numel() + 1) // 2)


@converter(
    aten.median.default, when=_small_half_of_all, note=f"up to {2 * LIMIT} elements; {NO_NAN}"
)
def median(ctx: Context, self: Tensor) -> Tensor:
    flat = ctx.reshape(self, [-1])
    return _ranked(ctx, flat, _middle(ctx, ctx.product(ctx.sizes(self))), 0, False)[0]


refuse(
    "TensorRT has no layer that counts equal elements: compute it outside of the model",
    aten.mode,
    aten.bincount,
    aten.histc,
    aten.histogram,
    aten.histogramdd,
    aten._histogramdd_bin_edges,
    aten._histogramdd_from_bin_cts,
    aten._histogramdd_from_bin_tensors,
    aten._unique2,
    aten.unique_dim,
    aten.unique_consecutive,
    aten.unique_dim_consecutive,
)
refuse(
    "TensorRT can't sort around NaN: replace NaN in the model and use median",
    aten.nanmedian,
)
