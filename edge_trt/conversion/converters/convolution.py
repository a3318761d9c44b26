# SPDX-License-Identifier: Apache-2.0
"""Convolutions in one to three dimensions, plain and transposed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import converter, needs_float
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Convolution, Deconvolution
from edge_trt.network.types import DType

aten = torch.ops.aten


def spread(values: int | Sequence[int], count: int) -> tuple[int, ...]:
    """One number per dimension; PyTorch repeats a single one."""
    given = (values,) if isinstance(values, int) else tuple(values)
    return given * count if len(given) == 1 else given


def _usual(input: fx.Node, weight: fx.Node) -> str | None:
    if any(not isinstance(size, int) for size in weight.meta["val"].shape):
        return (
            "TensorRT has no convolution whose weight has open sizes: give the weight sizes that "
            "are numbers"
        )
    return needs_float(input, "convolution")


def _convolve(
    ctx: Context,
    layer: type[Convolution | Deconvolution],
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | Sequence[int],
    pre: int | Sequence[int],
    post: int | Sequence[int],
    dilation: int | Sequence[int],
    groups: int,
) -> Tensor:
    """One layer; a missing batch and the height that TensorRT wants in 1-d are added around it."""
    ndim = weight.rank - 2
    s, before, after, d = (spread(v, ndim) for v in (stride, pre, post, dilation))
    if layer is Convolution:
        input, before, after = _taking_zeros(ctx, input, before, after, weight, d)
    added = [0] if input.rank == ndim + 1 else []
    input = ctx.unsqueeze(input, added)
    if ndim == 1:
        input, weight, added = ctx.unsqueeze(input, [2]), ctx.unsqueeze(weight, [2]), [*added, 2]
        s, before, after, d = (1, *s), (0, *before), (0, *after), (1, *d)
    operands, dtype = [input, weight, *([bias] if bias is not None else [])], input.dtype
    if layer is Deconvolution and dtype is DType.BFLOAT16:  # of which TensorRT-RTX builds none
        operands = [ctx.cast(x, DType.FLOAT32) for x in operands]
    result = ctx.network.add(layer(s, before, after, d, groups), *operands)
    return ctx.squeeze(ctx.cast(result, dtype), added)


def _taking_zeros(
    ctx: Context,
    x: Tensor,
    before: tuple[int, ...],
    after: tuple[int, ...],
    weight: Tensor,
    dilation: Sequence[int],
) -> tuple[Tensor, tuple[int, ...], tuple[int, ...]]:
    """Zeros that were put around an input become the layer's padding; (input, before, after).

    Not those that a whole window could lie in: DLA's padding is smaller than its windows.
    """
    first = x.rank - len(before)
    padded = ctx.zero_padded.get(x)
    if padded is None or min(padded.amounts) < first:
        return x, before, after
    amounts = [padded.amounts.get(axis, (0, 0)) for axis in range(first, x.rank)]
    pre = tuple(n + b for n, (b, _) in zip(before, amounts, strict=True))
    post = tuple(n + a for n, (_, a) in zip(after, amounts, strict=True))
    most = [d * (int(size) - 1) for d, size in zip(dilation, weight.shape[2:], strict=True)]
    fits = all(max(b, a) <= m for b, a, m in zip(pre, post, most, strict=True))
    return (padded.source, pre, post) if fits else (x, before, after)


@converter(
    aten.conv1d.default, aten.conv2d.default, aten.conv3d.default,
    when=_usual, note="float input; a weight of known sizes",
)  # fmt: skip
def conv(
    ctx: Context,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | Sequence[int],
    padding: int | Sequence[int],
    dilation: int | Sequence[int],
    groups: int,
) -> Tensor:
    return _convolve(
        ctx, Convolution, input, weight, bias, stride, padding, padding, dilation, groups
    )


@converter(
    aten.conv1d.padding, aten.conv2d.padding, aten.conv3d.padding,
    when=_usual, note="float input; a weight of known sizes",
)  # fmt: skip
def conv_padding(
    ctx: Context,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | Sequence[int],
    padding: str,
    dilation: int | Sequence[int],
    groups: int,
) -> Tensor:
    window = [int(size) for size in weight.shape[2:]]
    reach = [d * (k - 1) for d, k in zip(spread(dilation, len(window)), window, strict=True)]
    same = padding == "same"
    pre = [r // 2 if same else 0 for r in reach]
    post = [r - r // 2 if same else 0 for r in reach]  # PyTorch puts the odd one at the end
    return _convolve(ctx, Convolution, input, weight, bias, stride, pre, post, dilation, groups)


def _transposable(input: fx.Node, weight: fx.Node, stride: Any, dilation: Any) -> str | None:
    apart = _apart(stride) and _apart(dilation)
    if apart and weight.op != "get_attr":
        return "TensorRT has no transposed convolution with stride, dilation and a computed weight"
    return _usual(input, weight)


def _apart(steps: int | Sequence[int]) -> bool:
    return any(step != 1 for step in spread(steps, 1))


def _dilated(ctx: Context, weight: Tensor, dilation: Sequence[int]) -> Tensor:
    """A constant kernel with the zeros that dilation puts between its elements."""
    assert weight.data is not None
    sizes = [d * (k - 1) + 1 for d, k in zip(dilation, weight.data.shape[2:], strict=True)]
    kernel = np.zeros((*weight.data.shape[:2], *sizes), weight.data.dtype)
    kernel[(..., *(slice(None, None, d) for d in dilation))] = weight.data
    return ctx.derived(weight, kernel)


@converter(
    aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input,
    when=_transposable,
    note="float input; a weight of known sizes, constant with stride and dilation",
)  # fmt: skip
def conv_transpose(
    ctx: Context,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int | Sequence[int],
    padding: int | Sequence[int],
    output_padding: int | Sequence[int],
    groups: int,
    dilation: int | Sequence[int],
) -> Tensor:
    count = weight.rank - 2
    if _apart(stride) and _apart(dilation):
        weight, dilation = _dilated(ctx, weight, spread(dilation, count)), 1
    pre = spread(padding, count)
    post = [p - o for p, o in zip(pre, spread(output_padding, count), strict=True)]
    rest = (dilation, groups)
    if min(post) >= 0:
        return _convolve(ctx, Deconvolution, input, weight, bias, stride, pre, post, *rest)
    # What output_padding adds beyond the full result holds nothing but the bias.
    cut = [max(p, 0) for p in post]
    result = _convolve(ctx, Deconvolution, input, weight, None, stride, pre, cut, *rest)
    first = result.rank - count
    missing = {first + axis: (0, max(-p, 0)) for axis, p in enumerate(post)}
    result = ctx.pad(result, missing, "FILL", ctx.like(result, 0))
    if bias is None:
        return result
    return ctx.elementwise("SUM", result, ctx.reshape(bias, [-1, *(1,) * count]))


def _convolvable(
    input: fx.Node, weight: fx.Node, stride: Any, dilation: Any, transposed: bool
) -> str | None:
    return _transposable(input, weight, stride, dilation) if transposed else _usual(input, weight)


@converter(aten.convolution.default, when=_convolvable, note="as conv and conv_transpose")
def convolution(
    ctx: Context,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor:
    if transposed:
        return conv_transpose(
            ctx, input, weight, bias, stride, padding, output_padding, groups, dilation
        )
    return conv(ctx, input, weight, bias, stride, padding, dilation, groups)
