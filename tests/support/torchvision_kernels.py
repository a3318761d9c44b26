# SPDX-License-Identifier: Apache-2.0
"""torchvision's operators in plain PyTorch, where its extension does not load: eager can run then.

Written from torchvision's documentation; slow, and only what the tests ask for.
"""

from __future__ import annotations

import functools

import torch

from edge_trt.capture.torchvision_ops import declare_missing_operators, declared_on_import

_kept: list[torch.library.Library] = []


@functools.cache
def provide_kernels() -> None:
    """Registers the kernels that are missing, and imports torchvision for the shapes."""
    declared = declare_missing_operators()
    with declared_on_import():
        import torchvision
    library = torch.library.Library("torchvision", "IMPL")
    _kept.append(library)
    kernels = {"nms": nms, "roi_align": roi_align, "deform_conv2d": deform_conv2d}
    for name, kernel in kernels.items():
        if name in declared:
            library.impl(name, kernel, "CPU")
    if declared:
        torchvision.extension._has_ops = lambda: True


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


def roi_align(input, rois, spatial_scale, pooled_height, pooled_width, sampling_ratio, aligned):
    """torchvision has it in Python itself."""
    from torchvision.ops.roi_align import _roi_align

    arguments = (spatial_scale, pooled_height, pooled_width, sampling_ratio, aligned)
    return getattr(_roi_align, "__wrapped__", _roi_align)(input, rois, *arguments)


def deform_conv2d(
    input, weight, offset, mask, bias, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w,
    groups, offset_groups, use_mask,
):  # fmt: skip
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
