# SPDX-License-Identifier: Apache-2.0
"""Scaled dot-product attention as two products and a softmax, which TensorRT fuses."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import fx

from edge_trt.conversion.context import Context, torch_dtype
from edge_trt.conversion.registry import converter
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import SoftMax
from edge_trt.network.types import DType

aten = torch.ops.aten


def _attention_ok(
    query: fx.Node, key: fx.Node, value: fx.Node, dropout_p: float, scale: float | None
) -> str | None:
    if any(0 in tuple(node.meta["val"].shape) for node in (query, key, value)):
        return "attention has nothing to attend to: a size of its inputs is 0"
    if dropout_p:
        return f"attention drops {dropout_p} of its weights: call model.eval() before export"
    if scale is None and not isinstance(query.meta["val"].shape[-1], int):
        return "attention scales by an embedding size that is not known: give scale a number"
    return None


@converter(
    aten.scaled_dot_product_attention.default, when=_attention_ok,
    note="no dropout; known embedding size or scale; nothing empty",
)  # fmt: skip
def attention(
    ctx: Context,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
) -> Tensor:
    if enable_gqa:
        key, value = (_repeat_heads(ctx, x, query) for x in (key, value))
    factor = 1 / math.sqrt(int(query.shape[-1])) if scale is None else scale
    scores = ctx.matmul(ctx.elementwise("PROD", query, factor), key, transpose_b=True)
    mask = attn_mask
    if is_causal:
        mask = _also_causal(ctx, _causal(ctx, query, key), attn_mask)
    if mask is None or mask.dtype is DType.BOOL:
        all_rows = is_causal and attn_mask is None
        return ctx.matmul(_weights(ctx, scores, mask, all_rows=all_rows), value)
    return _biased(ctx, scores, mask, value)


def _weights(ctx: Context, scores: Tensor, mask: Tensor | None, all_rows: bool) -> Tensor:
    """Softmax of the scores where the mask allows; rows without any allowed score are zeros."""
    softmax = SoftMax(scores.rank - 1)
    if mask is None:
        return ctx.network.add(softmax, scores)
    if all_rows or (mask.data is not None and mask.data.any(-1).all()):
        outside = ctx.like(scores, -math.inf)
        return ctx.network.add(softmax, ctx.select(mask, scores, outside))
    # A whole row of -inf would be NaN, so the lowest finite score stands for it.
    lowest = ctx.like(scores, float(torch.finfo(torch_dtype(scores.dtype)).min))
    weights = ctx.network.add(softmax, ctx.select(mask, scores, lowest))
    return ctx.select(mask, weights, ctx.like(weights, 0))


def _biased(ctx: Context, scores: Tensor, mask: Tensor, value: Tensor) -> Tensor:
    """Attention with a float mask, which is added; a row of it that is all -inf yields zeros."""
    softmax = SoftMax(scores.rank - 1)
    bias = ctx.to_rank(ctx.cast(mask, scores.dtype), 1)
    if bias.data is not None and not np.isneginf(bias.data.max(-1)).any():
        weights = ctx.network.add(softmax, ctx.elementwise("SUM", scores, bias))
        return ctx.matmul(weights, value)
    # Asked of the mask and answered after the products, so that attention stays one piece.
    highest = ctx.reduce("MAX", bias, [-1], keep_dims=True)
    empty = ctx.elementwise("EQUAL", highest, -math.inf)
    bias = ctx.select(empty, ctx.like(bias, 0), bias)
    weights = ctx.network.add(softmax, ctx.elementwise("SUM", scores, bias))
    result = ctx.matmul(weights, value)
    return ctx.select(empty, ctx.like(result, 0), result)


def _causal(ctx: Context, query: Tensor, key: Tensor) -> Tensor:
    """[rows, columns]: true where the key is not after the query."""
    rows, columns = ctx.size(query, -2), ctx.size(key, -2)
    if isinstance(rows, int) and isinstance(columns, int):
        return ctx.constant(np.tril(np.ones((rows, columns), bool)), name="causal_mask")
    after = ctx.elementwise("LESS", ctx.unsqueeze(ctx.arange(rows), [1]), ctx.arange(columns))
    return ctx.unary("NOT", after)


def _also_causal(ctx: Context, causal: Tensor, mask: Tensor | None) -> Tensor:
    """What a causal mask leaves of a given one, which may be added."""
    if mask is None:
        return causal
    if mask.dtype is DType.BOOL:
        return ctx.elementwise("AND", causal, mask)
    return ctx.select(causal, mask, ctx.like(mask, -math.inf))


def _repeat_heads(ctx: Context, x: Tensor, query: Tensor) -> Tensor:
    """Each head of x as often as there are query heads for it."""
    sizes, heads = ctx.sizes(x), ctx.size(query, -3)
    times = ctx.calculate("FLOOR_DIV", heads, sizes[-3])
    x = ctx.expand(ctx.unsqueeze(x, [-3]), [*sizes[:-2], times, *sizes[-2:]])
    return ctx.reshape(x, [*sizes[:-3], heads, *sizes[-2:]])
