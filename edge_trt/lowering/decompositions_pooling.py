# SPDX-License-Identifier: Apache-2.0
"""Maxima of windows that TensorRT's pooling does not have, in smaller operators.

The maximum of a box is that of the maxima along each axis, so one axis follows the other. All
windows of an axis are gathered side by side, from places that may depend on sizes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from edge_trt.capture.pools import windows
from edge_trt.lowering.edit import aten
from edge_trt.lowering.variants_layers import per_dim

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _at(x: Any, axis: int, places: Any) -> Any:
    """`x` with two axes in place of one: windows, and the elements of each."""
    return x[(slice(None),) * axis + (places,)]


def _places_in_bins(size: Any, count: Any) -> Any:
    """[bins, width]: where the elements of adaptive bins are, the last repeated in short bins."""
    known = isinstance(size, int) and isinstance(count, int)
    bins = torch.arange(count).unsqueeze(1)
    first = torch.div(bins * size, count, rounding_mode="floor")
    last = torch.div((bins + 1) * size + (count - 1), count, rounding_mode="floor") - 1
    # Wherever a bin begins and ends within an element, it touches at most two more.
    width = size // count if known and size % count == 0 else size // count + 2
    return torch.minimum(first + torch.arange(width), last)


def _adaptive_max(self: Any, output_size: Any) -> Any:
    """The maximum of each bin, and its place."""
    first = self.dim() - len(output_size)
    sizes = self.shape[first:]
    if any(isinstance(n, int) and n == 0 for n in (*sizes, *output_size)):
        return NotImplemented
    places = [_places_in_bins(size, count) for size, count in zip(sizes, output_size, strict=True)]
    x = self
    for axis, (size, count) in enumerate(zip(sizes, output_size, strict=True), start=first):
        if isinstance(count, int) and count == 1:
            x = torch.amax(x, [axis], keepdim=True)
        elif isinstance(size, int) and isinstance(count, int) and size % count == 0:
            x = torch.amax(x.unflatten(axis, (count, size // count)), [axis + 1])
        else:
            x = torch.amax(_at(x, axis, places[axis - first]), [axis + 1])
    return x, _first_maxima(self, places)


def _first_maxima(x: Any, places: Sequence[Any]) -> Any:
    """Where the first maximum of each box is, counted through all the axes that are pooled."""
    first, ndim = x.dim() - len(places), len(places)
    windows, flat = x, torch.zeros([1] * (2 * ndim), dtype=torch.int64)
    for i, found in enumerate(places):
        windows = _at(windows, first + 2 * i, found)
        shape = [n for k in range(ndim) for n in (found.shape if k == i else (1, 1))]
        flat = flat * x.shape[first + i] + found.reshape(shape)
    order = [*range(0, 2 * ndim, 2), *range(1, 2 * ndim, 2)]  # boxes, then elements of a box
    windows = windows.permute([*range(first), *(first + k for k in order)]).flatten(-ndim)
    chosen = torch.argmax(windows, -1, keepdim=True)
    flat = flat.permute(order).flatten(-ndim)
    return flat.expand(windows.shape).gather(-1, chosen).squeeze(-1)


def _max_pool(ndim: int) -> Callable[..., Any]:
    """Of integers, or dilated: what lies outside of the input is put around it."""

    def pool(
        self: Any,
        kernel_size: Any,
        stride: Any = (),
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> Any:
        x, first = self, self.dim() - ndim
        given = (kernel_size, stride or kernel_size, padding, dilation)
        along = list(zip(*(per_dim(values, ndim) for values in given), strict=True))
        for axis, (kernel, step, pad, spacing) in enumerate(along, start=first):
            extent = spacing * (kernel - 1) + 1
            count = windows(x.shape[axis], extent, step, pad, pad, ceil_mode)
            starts = torch.arange(count).unsqueeze(1) * step
            after = pad + step - 1 if ceil_mode else pad
            outer = [0, 0] * (self.dim() - 1 - axis)
            x = aten.constant_pad_nd(x, [*outer, pad, after], _least(x.dtype))
            x = torch.amax(_at(x, axis, starts + torch.arange(kernel) * spacing), [axis + 1])
        return x

    return pool


def _max_pool_with_places(ndim: int) -> Callable[..., Any]:
    """The maximum of each window and its place; what lies outside stands for one that is inside."""

    def pool(
        self: Any,
        kernel_size: Any,
        stride: Any = (),
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> Any:
        x, first = self, self.dim() - ndim
        given = (kernel_size, stride or kernel_size, padding, dilation)
        along = zip(*(per_dim(values, ndim) for values in given), strict=True)
        places = [
            _places_in_windows(self.shape[axis], kernel, step, pad, spacing, ceil_mode)
            for axis, (kernel, step, pad, spacing) in enumerate(along, start=first)
        ]
        for axis, found in enumerate(places, start=first):
            x = torch.amax(_at(x, axis, found), [axis + 1])
        return x, _first_maxima(self, places)

    return pool


def _places_in_windows(
    size: Any, kernel: int, step: int, pad: int, spacing: int, ceil_mode: bool
) -> Any:
    """[windows, kernel]: where the elements of windows are, those outside moved to others."""
    count = windows(size, spacing * (kernel - 1) + 1, step, pad, pad, ceil_mode)
    places = torch.arange(count).unsqueeze(1) * step + torch.arange(kernel) * spacing - pad
    if pad:
        before = torch.clamp(-places, min=0) + (spacing - 1)
        places = places + torch.div(before, spacing, rounding_mode="floor") * spacing
    if pad or ceil_mode:
        behind = torch.clamp(places - (size - 1), min=0) + (spacing - 1)
        places = places - torch.div(behind, spacing, rounding_mode="floor") * spacing
    return places


def _least(dtype: torch.dtype) -> float:
    """What no maximum is."""
    return -math.inf if dtype.is_floating_point else torch.iinfo(dtype).min


POOLING: dict[Any, Callable[..., Any]] = {
    aten.adaptive_max_pool1d.default: _adaptive_max,
    aten.adaptive_max_pool2d.default: _adaptive_max,
    aten.adaptive_max_pool3d.default: _adaptive_max,
    aten.max_pool1d.default: _max_pool(1),
    aten.max_pool2d.default: _max_pool(2),
    aten.max_pool2d_with_indices.default: _max_pool_with_places(2),
    aten.max_pool3d_with_indices.default: _max_pool_with_places(3),
    aten.max_pool3d.default: _max_pool(3),
}
