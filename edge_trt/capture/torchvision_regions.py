# SPDX-License-Identifier: Apache-2.0
"""What torchvision's two-stage detectors do with regions, for any number of them.

torchvision asks Python how many regions there are, and loops over them to paste masks and to find
keypoints; a graph has a symbol for their number. All give what torchvision gives.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch

if TYPE_CHECKING:
    from collections.abc import Generator


library = torch.library.Library("edge_trt", "FRAGMENT")
library.define("heatmap_peaks(Tensor maps, Tensor heights, Tensor widths) -> (Tensor, Tensor)")


def _peaks(
    maps: torch.Tensor, heights: torch.Tensor, widths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Places [n, k] and values [n, k] of the largest of maps [n, k, h, w] at sizes of their own."""
    places, values = _no_peaks(maps)
    sizes = zip(heights.tolist(), widths.tolist(), strict=True)
    for number, (region, size) in enumerate(zip(maps, sizes, strict=True)):
        resized = torch.nn.functional.interpolate(region[None], size=size, mode="bicubic")
        values[number], places[number] = resized[0].flatten(1).max(1)
    return places, values


def _no_peaks(maps: torch.Tensor, *_: Any) -> tuple[torch.Tensor, torch.Tensor]:
    values = maps.new_empty(maps.shape[:2])
    return torch.empty_like(values, dtype=torch.int64), values


library.impl("heatmap_peaks", _peaks, "CPU")
torch.library.register_fake("edge_trt::heatmap_peaks", _no_peaks, lib=library)

heatmap_peaks: Any = torch.ops.edge_trt.heatmap_peaks.default
"""Where the maps of regions are largest, each resized to the size of its region."""


@contextmanager
def regions_of_any_number() -> Generator[None]:
    """Replace what asks whether there are regions at all, and how many, inside the block."""
    poolers = sys.modules.get("torchvision.ops.poolers")
    if poolers is None:
        yield
        return
    detection = "torchvision.models.detection"
    coder = importlib.import_module(f"{detection}._utils").BoxCoder
    heads = importlib.import_module(f"{detection}.roi_heads")
    transform = importlib.import_module(f"{detection}.transform")
    with ExitStack() as patches:
        for owner, name, function in (
            (poolers, "_multiscale_roi_align", _pool_regions),
            (coder, "decode", _decode),
            (transform, "paste_masks_in_image", _paste_masks),
            (heads, "heatmaps_to_keypoints", _keypoints),
        ):
            patches.enter_context(patch.object(owner, name, function))
        yield


def _pool_regions(
    x_filtered: list[torch.Tensor],
    boxes: list[torch.Tensor],
    output_size: list[int],
    sampling_ratio: int,
    scales: list[float],
    mapper: Any,
) -> torch.Tensor:
    """Each region [1, channels, *output_size] from the level of the pyramid that fits its size."""
    poolers = sys.modules["torchvision.ops.poolers"]
    rois = poolers._convert_to_roi_format(boxes)

    def pooled(level: int, rois: torch.Tensor) -> torch.Tensor:
        return poolers.roi_align(
            x_filtered[level], rois, output_size, scales[level], sampling_ratio=sampling_ratio
        )

    if len(x_filtered) == 1:
        return pooled(0, rois)
    levels = mapper(boxes)
    result = x_filtered[0].new_zeros(rois.shape[0], x_filtered[0].shape[1], *output_size)
    for level in range(len(x_filtered)):
        places = torch.where(levels == level)[0]
        result = result.index_put((places,), pooled(level, rois[places]))
    return result


def _decode(self: Any, rel_codes: torch.Tensor, boxes: list[torch.Tensor]) -> torch.Tensor:
    """Boxes [n, classes, 4] of codes [n, 4 * classes] relative to the boxes of all images."""
    joined = torch.cat(boxes, dim=0)
    decoded = self.decode_single(rel_codes.reshape(joined.shape[0], rel_codes.shape[-1]), joined)
    return decoded.reshape(joined.shape[0], rel_codes.shape[-1] // 4, 4)


def _paste_masks(
    masks: torch.Tensor, boxes: torch.Tensor, img_shape: tuple[int, int], padding: int = 1
) -> torch.Tensor:
    """Masks [n, 1, height, width] of the image from masks [n, 1, size, size] of the boxes.

    Resizing is a product with the weights of its pixels, which are zero outside of the box.
    """
    masks = torch.nn.functional.pad(masks, (padding,) * 4)
    size = masks.shape[-1]
    grown = size / (size - 2 * padding)
    centre, half = (boxes[:, 2:] + boxes[:, :2]) * 0.5, (boxes[:, 2:] - boxes[:, :2]) * 0.5 * grown
    lower, upper = (centre - half).to(torch.int64), (centre + half).to(torch.int64)
    columns = _resizing(lower[:, 0], upper[:, 0], size, int(img_shape[1]))
    rows = _resizing(lower[:, 1], upper[:, 1], size, int(img_shape[0]))
    return (rows @ masks[:, 0] @ columns.mT)[:, None]


def _resizing(lower: torch.Tensor, upper: torch.Tensor, size: int, wanted: int) -> torch.Tensor:
    """[n, wanted, size]: what a place of a mask gives to a pixel that is in its box's range."""
    pixels = torch.arange(wanted, device=lower.device)
    inside = (pixels >= lower[:, None]) & (pixels <= upper[:, None])
    scale = size / (upper - lower + 1).clamp(min=1).to(torch.float32)
    places = ((pixels - lower[:, None]) + 0.5) * scale[:, None] - 0.5
    places = places.clamp(min=0, max=size - 1)
    apart = (places[:, :, None] - torch.arange(size, device=lower.device)).abs()
    return (1 - apart).clamp(min=0) * inside[:, :, None]


def _keypoints(maps: torch.Tensor, rois: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Keypoints [n, k, (x, y, 1)] and their scores [n, k] from maps [n, k, h, w] of regions."""
    sizes = (rois[:, 2:] - rois[:, :2]).clamp(min=1)
    pixels = sizes.ceil()
    widths, heights = pixels.to(torch.int64).unbind(1)
    places, scores = heatmap_peaks(maps, heights, widths)
    columns = places % widths[:, None]
    rows = torch.div(places - columns, widths[:, None], rounding_mode="floor")
    found = torch.stack([columns, rows], 2).to(torch.float32) + 0.5
    found = found * (sizes / pixels)[:, None] + rois[:, None, :2]
    return torch.cat([found, torch.ones_like(found[:, :, :1])], 2), scores
