# SPDX-License-Identifier: Apache-2.0
"""Adaptive average pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from edge_trt.conversion.context import Context
from edge_trt.conversion.converters.pooling import Windows, pool
from edge_trt.conversion.registry import needs_float, table
from edge_trt.network.graph import Tensor

aten = torch.ops.aten
ADAPTIVE = {
    aten.adaptive_avg_pool1d.default: 1,
    aten.adaptive_avg_pool2d.default: 2,
    aten._adaptive_avg_pool2d.default: 2,
    aten.adaptive_avg_pool3d.default: 3,
    aten._adaptive_avg_pool3d.default: 3,
}


def _known_bins(self: fx.Node, output_size: Sequence[Any]) -> str | None:
    if reason := needs_float(self, "pooling"):
        return reason
    sizes = self.meta["val"].shape[-len(output_size) :]
    pairs = zip(sizes, output_size, strict=True)
    if all(o == 1 or (isinstance(s, int) and isinstance(o, int)) for s, o in pairs):
        return None
    return f"adaptive pooling to {list(output_size)} needs a known image size: fix it"


def adaptive_avg_pool(ctx: Context, ndim: int, self: Tensor, output_size: Sequence[int]) -> Tensor:
    axes = range(self.rank - ndim, self.rank)
    if all(count == 1 for count in output_size):
        return ctx.reduce("AVG", self, axes, keep_dims=True)
    pairs = zip(self.shape[-ndim:], output_size, strict=True)
    window = [d // count for d, count in pairs if isinstance(d, int) and d % count == 0]
    if len(window) == ndim:
        step, none = tuple(window), (0,) * ndim
        return pool(ctx, "AVERAGE", self, Windows(step, step, none, none))
    x = self
    for axis, count in zip(axes, output_size, strict=True):
        x = _means(ctx, x, axis, count)
    return x


def _means(ctx: Context, x: Tensor, axis: int, count: int) -> Tensor:
    """Bins of different widths along one axis: a product with a constant matrix."""
    size = x.shape[axis]
    if size == count:
        return x
    if count == 1:
        return ctx.reduce("AVG", x, [axis], keep_dims=True)
    return ctx.along(x, axis, _bins(int(size), count))


def _bins(size: int, count: int) -> np.ndarray:
    """[size, count]: column i holds 1 / width over the i-th adaptive bin."""
    matrix = np.zeros((size, count), np.float32)
    for i in range(count):
        begin, end = i * size // count, -(-(i + 1) * size // count)
        matrix[begin:end, i] = 1 / (end - begin)
    return matrix


table(
    ADAPTIVE,
    adaptive_avg_pool,
    when=_known_bins,
    note="float input; a known image size, or an output of 1",
)
