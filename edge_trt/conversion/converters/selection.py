# SPDX-License-Identifier: Apache-2.0
"""Largest and smallest elements: arg-reductions, top-k and sorting, by TensorRT's TopK layer."""

from __future__ import annotations

from typing import Literal

import torch
from torch import fx

from edge_trt.conversion.context import Context, widened
from edge_trt.conversion.registry import converter, table
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import TopK
from edge_trt.network.types import DType

aten = torch.ops.aten
Order = Literal["MAX", "MIN"]
LIMIT = 3840
"""Largest k of TensorRT's TopK layer (TensorRT operator documentation)."""


def topk(ctx: Context, op: Order, x: Tensor, k: int, dim: int) -> tuple[Tensor, Tensor]:
    """Values and int64 indices. TopK wants two dimensions, so a vector is a matrix of one row."""
    if x.rank == 0:
        return x, ctx.constant(0)
    dtype, axis = x.dtype, dim % x.rank
    x = ctx.cast(x, widened(dtype))
    vector = x.rank == 1
    x = ctx.unsqueeze(x, [0]) if vector else x
    results = ctx.network.add_multi(TopK(op, k, axis + vector), x)
    values, indices = (ctx.squeeze(t, [0]) if vector else t for t in results)
    return ctx.cast(values, dtype), ctx.cast(indices, DType.INT64)


def _extreme(ctx: Context, op: Order, self: Tensor, dim: int, keepdim: bool) -> tuple[Tensor, ...]:
    results = topk(ctx, op, self, 1, dim)
    if keepdim or self.rank == 0:
        return results
    return tuple(ctx.squeeze(t, [dim]) for t in results)


def _arg(ctx: Context, op: Order, self: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    if dim is not None:
        return _extreme(ctx, op, self, dim, keepdim)[1]
    index = topk(ctx, op, ctx.reshape(self, [-1]), 1, 0)[1]
    return ctx.reshape(index, [1] * ctx.result.rank)


table({aten.argmax.default: "MAX", aten.argmin.default: "MIN"}, _arg)
table({aten.max.dim: "MAX", aten.min.dim: "MIN"}, _extreme)


def _small_k(k: object) -> str | None:
    if isinstance(k, int) and k <= LIMIT:
        return None
    return f"the TopK layer of TensorRT takes a known k up to {LIMIT}, not {k}: take fewer elements"


@converter(aten.topk.default, when=_small_k, note=f"k known and at most {LIMIT}")
def topk_(ctx: Context, self: Tensor, k: int, dim: int, largest: bool) -> tuple[Tensor, Tensor]:
    return topk(ctx, "MAX" if largest else "MIN", self, k, dim)


def _small_axis(self: fx.Node, dim: int) -> str | None:
    shape = self.meta["val"].shape
    return _small_k(shape[dim]) if len(shape) else None


@converter(aten.sort.default, when=_small_axis, note=f"known size up to {LIMIT}")
def sort(ctx: Context, self: Tensor, dim: int, descending: bool) -> tuple[Tensor, Tensor]:
    k = int(self.shape[dim]) if self.rank else 1
    return topk(ctx, "MAX" if descending else "MIN", self, k, dim)
