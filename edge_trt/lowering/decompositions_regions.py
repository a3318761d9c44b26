# SPDX-License-Identifier: Apache-2.0
"""torchvision's operators that read images between pixels, as samples of a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import grid_sample

if TYPE_CHECKING:
    from collections.abc import Callable


def _grid(x: Any, y: Any, image: Any) -> Any:
    """Places in pixels as `grid_sample` takes them, with pixels as areas."""
    height, width = image.shape[-2:]
    return torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)


def _roi_align(
    input: Any,
    rois: Any,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    aligned: bool,
) -> Any:
    """For a known number of regions of one image, and a known number of samples."""
    known = all(isinstance(size, int) for size in (*input.shape, rois.shape[0]))
    if not known or input.shape[0] != 1 or sampling_ratio <= 0:
        return NotImplemented
    count, ratio = rois.shape[0], sampling_ratio
    left, top, right, bottom = (rois[:, 1:] * spatial_scale - 0.5 * aligned).unbind(1)
    rows, row_inside = _samples(top, bottom, pooled_height * ratio, input.shape[2], aligned)
    columns, column_inside = _samples(left, right, pooled_width * ratio, input.shape[3], aligned)
    shape = (count, pooled_height * ratio, pooled_width * ratio)
    grid = _grid(columns[:, None].expand(shape), rows[:, :, None].expand(shape), input)
    samples = grid_sample(input, grid.reshape(1, -1, shape[2], 2), align_corners=False)
    inside = row_inside[:, :, None] & column_inside[:, None]
    samples = samples[0] * inside.reshape(-1, shape[2]).to(samples.dtype)
    bins = samples.reshape(-1, count, pooled_height, ratio, pooled_width, ratio)
    return bins.mean((3, 5)).permute(1, 0, 2, 3)


def _samples(lower: Any, upper: Any, count: int, size: int, aligned: bool) -> tuple[Any, Any]:
    """Where each region [n] is sampled along an axis [n, count], and which samples count."""
    extent = upper - lower if aligned else (upper - lower).clamp(min=1)
    steps = (torch.arange(count, dtype=lower.dtype, device=lower.device) + 0.5) / count
    places = lower[:, None] + extent[:, None] * steps
    return places.clamp(0, size - 1), (places >= -1) & (places <= size)


def _deform_conv2d(
    input: Any,
    weight: Any,
    offset: Any,
    mask: Any,
    bias: Any,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    groups: int,
    offset_groups: int,
    use_mask: bool,
) -> Any:
    """A product of the kernels with samples at places that the offsets move."""
    batch, channels, height, width = input.shape
    kernel_h, kernel_w = weight.shape[2:]
    taps, (out_h, out_w) = kernel_h * kernel_w, offset.shape[2:]
    tap, row, column = (torch.arange(n, device=offset.device) for n in (taps, out_h, out_w))
    rows = (tap // kernel_w * dilation_h - pad_h)[:, None] + row * stride_h
    columns = (tap % kernel_w * dilation_w - pad_w)[:, None] + column * stride_w
    y, x = offset.reshape(batch * offset_groups, taps, 2, out_h, out_w).unbind(2)
    grid = _grid(x + columns[:, None], y + rows[:, :, None], input)
    images = input.reshape(batch * offset_groups, channels // offset_groups, height, width)
    samples = grid_sample(images, grid.reshape(-1, taps * out_h, out_w, 2), align_corners=False)
    if use_mask:
        shown = mask.reshape(batch * offset_groups, 1, taps * out_h, out_w)
        samples = samples * shown
    values = samples.reshape(batch, groups, channels // groups * taps, out_h * out_w)
    kernels = weight.reshape(groups, weight.shape[0] // groups, channels // groups * taps)
    result = (kernels @ values).reshape(batch, weight.shape[0], out_h, out_w)
    return result + bias.reshape(-1, 1, 1)


REGIONS: dict[str, Callable[..., Any]] = {
    "torchvision.deform_conv2d.default": _deform_conv2d,
    "torchvision.roi_align.default": _roi_align,
}
"""By name: torchvision may be imported later, or never."""
