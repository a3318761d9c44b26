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
) -> Windows | None:
    """PyTorch's windows in TensorRT's terms, or None if they depend on an unknown size.

    With `ceil_mode` PyTorch drops a last window that would start in the padding, TensorRT's
    rounding up does not. A known size tells the padding after the end that gives PyTorch's number
    of windows; for unknown ones rounding up is right where no window can start in the padding.
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
    if all(p + s <= k for p, s, k in zip(pad, step, size, strict=True)):
        return replace(result, mode="EXPLICIT_ROUND_UP")
    return None


def _after(size: int, window: int, stride: int, pad: int) -> int:
    """Padding after the end that makes rounding down give PyTorch's number of windows."""
    free = size + 2 * pad - window
    last = -(-free // stride) * stride
    if last >= size + pad:
        last -= stride
    return max(pad + last - free, 0)


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


def _countable(
    self: fx.Node, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool
) -> str | None:
    if reason := needs_float(self, "pooling"):
        return reason
    value = self.meta["val"]
    given = len(spread(kernel_size, 1))
    ndim = given if given > 1 else max(value.dim() - 2, 1)
    if windows(value.shape[-ndim:], kernel_size, stride, padding, ceil_mode) is not None:
        return None
    return (
        "pooling with ceil_mode and a stride above kernel_size - padding needs known sizes, since "
        "TensorRT keeps a last window that starts behind the input: fix them, or use a smaller "
        "stride"
    )


def _undilated(
    self: fx.Node, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> str | None:
    if any(d != 1 for d in spread(dilation, 1)):
        return f"TensorRT has no dilated pooling (dilation {dilation}): use a dilation of 1"
    return _countable(self, kernel_size, stride, padding, ceil_mode)


def _divisible(
    self: fx.Node, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
    divisor_override: int | None,
) -> str | None:  # fmt: skip
    known = all(isinstance(d, int) for d in self.meta["val"].shape[2:])
    if divisor_override is not None and ceil_mode and not known:
        return "avg_pool with ceil_mode and divisor_override needs a known image size: fix it"
    return _countable(self, kernel_size, stride, padding, ceil_mode)


CEIL = "with ceil_mode a known image size, or a stride of at most kernel_size - padding"


def max_pool(
    ctx: Context, ndim: int, self: Tensor, kernel_size: Any, stride: Any, padding: Any,
    ceil_mode: bool,
) -> Tensor:  # fmt: skip
    found = windows(self.shape[-ndim:], kernel_size, stride, padding, ceil_mode)
    assert found is not None
    return pool(ctx, "MAX", self, found)


def avg_pool(
    ctx: Context, ndim: int, self: Tensor, kernel_size: Any, stride: Any, padding: Any,
    ceil_mode: bool, count_include_pad: bool, divisor_override: int | None,
) -> Tensor:  # fmt: skip
    found = windows(self.shape[-ndim:], kernel_size, stride, padding, ceil_mode)
    assert found is not None
    if divisor_override is not None:
        mean = pool(ctx, "AVERAGE", self, found, exclude=False)
        return ctx.elementwise("PROD", mean, math.prod(found.size) / divisor_override)
    if not ceil_mode or not count_include_pad or not any(found.pre):
        return pool(ctx, "AVERAGE", self, found, exclude=ceil_mode or not count_include_pad)
    # Declared padding counts, what ceil_mode adds never does: the former becomes part of the input.
    return pool(ctx, "AVERAGE", *_padded(ctx, self, found))


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
    note=f"integers and dilated windows in smaller operators; {NO_NAN}; {CEIL}",
)
table(AVERAGE, avg_pool, when=_divisible, note=f"float input; {CEIL}")
table(
    {aten.avg_pool1d.default: 1},
    lambda ctx, ndim, self, kernel_size, stride, padding, ceil_mode, count_include_pad: avg_pool(
        ctx, ndim, self, kernel_size, stride, padding, ceil_mode, count_include_pad, None
    ),
    when=_countable,
    note=CEIL,
)
refuse(
    "its windows lie where random numbers say: use max_pool, or leave it to the fallback",
    aten.fractional_max_pool2d,
    aten.fractional_max_pool3d,
)
