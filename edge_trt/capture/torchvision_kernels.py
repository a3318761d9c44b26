# SPDX-License-Identifier: Apache-2.0
"""torchvision's operators in plain PyTorch, where its extension does not load: eager can run then.

Written from torchvision's documentation; slow, but they run only where answers are recorded.
"""

from __future__ import annotations

import torch


def nms(dets: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Greedily, the best first; one that overlaps a kept one by more than the threshold goes."""
    order = torch.sort(scores, descending=True, stable=True).indices
    area = (dets[:, 2] - dets[:, 0]) * (dets[:, 3] - dets[:, 1])
    kept: list[torch.Tensor] = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        lower = torch.maximum(dets[order, :2], dets[best, :2])
        upper = torch.minimum(dets[order, 2:], dets[best, 2:])
        shared = (upper - lower).clamp(min=0).prod(1)
        overlap = shared / (area[best] + area[order] - shared)
        order = order[~(overlap > iou_threshold)]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.int64)


def roi_align(
    input: torch.Tensor,
    rois: torch.Tensor,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    aligned: bool,
) -> torch.Tensor:
    """As the extension does it: torchvision's own Python does not ignore samples outside."""
    if len(rois) and not bool(((rois[:, 0] >= 0) & (rois[:, 0] < len(input))).all()):
        raise IndexError("a region is of no image")
    corners = rois[:, 1:] * spatial_scale - (0.5 if aligned else 0.0)
    axes = (
        (corners[:, 1], corners[:, 3], pooled_height, input.shape[2]),
        (corners[:, 0], corners[:, 2], pooled_width, input.shape[3]),
    )
    rows, columns = (_shares(*axis, sampling_ratio, aligned) for axis in axes)
    result = input.new_zeros(len(rois), input.shape[1], pooled_height, pooled_width)
    for image in range(len(input)):
        (chosen,) = torch.where(rois[:, 0] == image)
        wide = torch.einsum("nqw,chw->nchq", columns[chosen], input[image])
        result[chosen] = torch.einsum("nph,nchq->ncpq", rows[chosen], wide)
    return result


def _shares(
    lower: torch.Tensor,
    upper: torch.Tensor,
    bins: int,
    size: int,
    sampling_ratio: int,
    aligned: bool,
) -> torch.Tensor:
    """[regions, bins, size]: what each place of the map has in the average of each bin."""
    extent = upper - lower if aligned else (upper - lower).clamp(min=1)
    counts = torch.ceil(extent / bins) if sampling_ratio <= 0 else sampling_ratio + 0 * extent
    shares = lower.new_zeros(len(lower), bins, size)
    for count in counts.unique().int().tolist():
        chosen = counts == count
        steps = (torch.arange(bins * count) + 0.5) / max(count, 1)
        places = lower[chosen, None] + steps * (extent[chosen, None] / bins)
        inside = (places >= -1) & (places <= size)
        apart = places.clamp(0, size - 1)[..., None] - torch.arange(size)
        weights = (1 - apart.abs()).clamp(min=0) * inside[..., None]
        shares[chosen] = weights.reshape(-1, bins, count, size).sum(2).to(shares) / max(count, 1)
    return shares


def deform_conv2d(
    input: torch.Tensor,
    weight: torch.Tensor,
    offset: torch.Tensor,
    mask: torch.Tensor,
    bias: torch.Tensor,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    groups: int,
    offset_groups: int,
    use_mask: bool,
) -> torch.Tensor:
    """A convolution over values read at shifted places, which are zero outside of the image."""
    batch, channels, height, width = input.shape
    *_, kernel_h, kernel_w = weight.shape
    out_h, out_w = offset.shape[-2:]
    taps = kernel_h * kernel_w
    shifts = offset.reshape(batch, offset_groups, taps, 2, out_h, out_w)
    rows = torch.arange(out_h).reshape(-1, 1) * stride_h - pad_h
    columns = torch.arange(out_w) * stride_w - pad_w
    grouped = input.reshape(batch * offset_groups, channels // offset_groups, height, width)
    columns_of_values = []
    for tap in range(taps):
        y = shifts[:, :, tap, 0] + rows + tap // kernel_w * dilation_h
        x = shifts[:, :, tap, 1] + columns + tap % kernel_w * dilation_w
        places = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
        read = torch.nn.functional.grid_sample(
            grouped, places.reshape(-1, out_h, out_w, 2), align_corners=False
        ).reshape(batch, offset_groups, -1, out_h, out_w)
        if use_mask:
            read = read * mask.reshape(batch, offset_groups, taps, out_h, out_w)[:, :, None, tap]
        columns_of_values.append(read.reshape(batch, channels, out_h, out_w))
    values = torch.stack(columns_of_values, 2).reshape(batch, groups, -1, out_h, out_w)
    kernels = weight.reshape(groups, weight.shape[0] // groups, -1)
    result = torch.einsum("gok,bgkhw->bgohw", kernels, values)
    return result.reshape(batch, -1, out_h, out_w) + bias.reshape(-1, 1, 1)


KERNELS = {"nms": nms, "roi_align": roi_align, "deform_conv2d": deform_conv2d}
"""By the names of the operators."""
