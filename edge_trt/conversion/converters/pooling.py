# SPDX-License-Identifier: Apache-2.0
"""Pooling in one to three dimensions by windows. Adaptive pooling is in `adaptive.py`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import fx

from edge_trt.conversion.context import Context
from edge_trt.conversion.converters.convolution import spread
from edge_trt.conversion.registry import NO_NAN, needs_float, refuse, table
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Pooling
from edge_trt.network.layers.window import PaddingMode
from edge_trt.network.types import Dim

aten = torch.ops.aten
MAX = {aten.max_pool1d.default: 1, aten.max_pool2d.default: 2, aten.max_pool3d.default: 3}
AVERAGE = {aten.avg_pool2d.default: 2, aten.avg_pool3d.default: 3}


@dataclass(frozen=True, slots=True)
class Windows:
    """Where windows lie, one number per dimension."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    pre: tuple[int, ...]
    post: tuple[int, ...]
    mode: PaddingMode = "EXPLICIT_ROUND_DOWN"


def windows(
    sizes: Sequence[Dim], kernel: Any, stride: Any, padding: Any, ceil_mode: bool
) -> Windows:
    """PyTorch's windows in TensorRT's terms.

    With `ceil_mode` PyTorch drops a last window that would start in the padding, TensorRT's
    rounding up does not. A known size tells the padding after the end that gives PyTorch's number
    of windows; of unknown ones TensorRT rounds up, and `_begun` drops that window.
    """
    size = spread(kernel, len(sizes))
    step = spread(stride, len(sizes)) if stride else size
    pad = spread(padding, len(sizes))
    result = Windows(size, step, pad, pad)
    if not ceil_mode:
        return result
    if all(isinstance(d, int) for d in sizes):
        ends = zip(sizes, size, step, pad, strict=True)
        return replace(result, post=tuple(_after(int(d), k, s, p) for d, k, s, p in ends))
    return replace(result, mode="EXPLICIT_ROUND_UP")


def _after(size: int, window: int, stride: int, pad: int) -> int:
    """Padding after the end that makes rounding down give PyTorch's number of windows."""
    free = size + 2 * pad - window
    last = -(-free // stride) * stride
    if last >= size + pad:
        last -= stride
    return max(pad + last - free, 0)


def _begun(ctx: Context, result: Tensor, x: Tensor, w: Windows) -> Tensor:
    """The result for the windows that start before the end of the input."""
    if w.mode == "EXPLICIT_ROUND_DOWN":
        return result
    for axis, (size, step, pad) in enumerate(
        zip(w.size, w.stride, w.pre, strict=True), -len(w.size)
    ):
        if pad + step > size:  # else the last one does
            before = ctx.calculate("SUM", ctx.size(x, axis), pad - 1)
            count = ctx.calculate("SUM", ctx.calculate("FLOOR_DIV", before, step), 1)
            count = ctx.calculate("MIN", count, ctx.size(result, axis))
            result = ctx.slice(result, axis, 0, count)
    return result


def pool(
    ctx: Context, type: Literal["MAX", "AVERAGE"], x: Tensor, w: Windows, exclude: bool = True
) -> Tensor:
    """One layer; a missing batch and the height that TensorRT wants in 1-d are added around it."""
    size, step, pre, post = w.size, w.stride, w.pre, w.post
    added = [0] if x.rank == len(size) + 1 else []
    x = ctx.unsqueeze(x, added)
    if len(size) == 1:
        x, added = ctx.unsqueeze(x, [2]), [*added, 2]
        size, step, pre, post = (1, *size), (1, *step), (0, *pre), (0, *post)
    return ctx.squeeze(
        ctx.network.add(Pooling(type, size, step, pre, post, w.mode, exclude), x), added
    )


def _of_floats(self: fx.Node) -> str | None:
    return needs_float(self, "pooling")


def _undilated(self: fx.Node, dilation: Any) -> str | None:
    if any(d != 1 for d in spread(dilation, 1)):
        return f"TensorRT has no dilated pooling (dilation {dilation}): use a dilation of 1"
    return _of_floats(self)


def max_pool(
    ctx: Context, ndim: int, self: Tensor, kernel_size: Any, stride: Any, padding: Any,
    ceil_mode: bool,
) -> Tensor:  # fmt: skip
    found = windows(self.shape[-ndim:], kernel_size, stride, padding, ceil_mode)
    return _begun(ctx, pool(ctx, "MAX", self, found), self, found)


def avg_pool(
    ctx: Context, ndim: int, self: Tensor, kernel_size: Any, stride: Any, padding: Any,
    ceil_mode: bool, count_include_pad: bool, divisor_override: int | None,
) -> Tensor:  # fmt: skip
    found = windows(self.shape[-ndim:], kernel_size, stride, padding, ceil_mode)
    if divisor_override is not None:
        mean = pool(ctx, "AVERAGE", *_filled(ctx, self, found), exclude=False)
        scaled = ctx.elementwise("PROD", mean, math.prod(found.size) / divisor_override)
        return _begun(ctx, scaled, self, found)
    if not ceil_mode or not count_include_pad or not any(found.pre):
        mean = pool(ctx, "AVERAGE", self, found, exclude=ceil_mode or not count_include_pad)
    else:
        # Declared padding counts, what ceil_mode adds never does: the former becomes part of the
        # input.
        mean = pool(ctx, "AVERAGE", *_padded(ctx, self, found))
    return _begun(ctx, mean, self, found)


def _filled(ctx: Context, x: Tensor, w: Windows) -> tuple[Tensor, Windows]:
    """The input with zeros wherever windows that round up may reach, and windows that round down.

    TensorRT does not count what rounding up adds, and a divisor of the user's own does.
    """
    if w.mode == "EXPLICIT_ROUND_DOWN":
        return x, w
    first, none = x.rank - len(w.size), (0,) * len(w.size)
    ends = enumerate(zip(w.pre, w.stride, strict=True), first)
    pads = {axis: (pad, pad + step - 1) for axis, (pad, step) in ends}
    padded = ctx.pad(x, pads, "FILL", ctx.like(x, 0))
    return padded, Windows(w.size, w.stride, none, none)


def _padded(ctx: Context, x: Tensor, w: Windows) -> tuple[Tensor, Windows]:
    """The input with the declared padding as zeros, and the windows without it."""
    first, none = x.rank - len(w.size), (0,) * len(w.size)
    pads = {first + axis: (pad, pad) for axis, pad in enumerate(w.pre)}
    beyond = tuple(max(after - pad, 0) for after, pad in zip(w.post, w.pre, strict=True))
    return ctx.pad(x, pads, "FILL", ctx.like(x, 0)), replace(w, pre=none, post=beyond)


table(
    MAX,
    max_pool,
    when=_undilated,
    note=(
        "integers and dilated windows in smaller operators; the least finite number for windows of"
        f" -inf and padding; {NO_NAN}"
    ),
)
table(AVERAGE, avg_pool, when=_of_floats, note="float input")
table(
    {aten.avg_pool1d.default: 1},
    lambda ctx, ndim, self, kernel_size, stride, padding, ceil_mode, count_include_pad: avg_pool(
        ctx, ndim, self, kernel_size, stride, padding, ceil_mode, count_include_pad, None
    ),
    when=_of_floats,
    note="float input",
)
refuse(
    "its windows lie where random numbers say: use max_pool, or leave it to the fallback",
    aten.fractional_max_pool2d,
    aten.fractional_max_pool3d,
)
