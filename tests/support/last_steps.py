# SPDX-License-Identifier: Apache-2.0
"""What eager gives where the last step of a detector jumps: done again for what was found.

Two heads of torchvision end in a step that turns rounding into a whole pixel: a mask is pasted
between the edges of its box cut to whole numbers, and a keypoint is the highest place of a map.
Where eager itself is within rounding of such a jump, both sides of it are right. Eager's step is
therefore done with its own masks at the boxes that were found, and takes that one of the places as
high as the highest that is nearest to what was found. All else stays eager's.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any
from unittest import mock

import torch
from torch import nn

from tests.support.eager import Arguments, outputs

ROUNDING = 1e-4
"""Share of the greatest number within which two are the same: what agreement asks of outputs."""

PACKAGE = "torchvision.models.detection"


def with_masks_at(
    model: nn.Module, arguments: Arguments, found: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """Boxes, labels, scores and masks of eager, its masks pasted at the boxes that were found."""
    module = importlib.import_module(f"{PACKAGE}.transform")
    original = module.paste_masks_in_image

    def paste(masks: torch.Tensor, boxes: torch.Tensor, *rest: Any) -> torch.Tensor:
        return original(masks, same(boxes, found[0])[0], *rest)

    with mock.patch.object(module, "paste_masks_in_image", paste):
        return outputs(model, arguments)


def with_keypoints_at(
    model: nn.Module, arguments: Arguments, found: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """Boxes, labels, scores, keypoints and their scores of eager; of places as high, the found."""
    module = importlib.import_module(f"{PACKAGE}.roi_heads")
    places, scale = found[3], _scale(model, arguments)
    original = module.heatmaps_to_keypoints

    def read(maps: torch.Tensor, regions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        keypoints, scores = original(maps, regions)
        _, rows = same(regions, found[0] * scale)
        for region, row in enumerate(rows.tolist()):
            if row >= 0:
                wanted = places[row, :, :2] * scale[:2]
                keypoints[region, :, :2] = highest(maps[region], regions[region], wanted)
        return keypoints, scores

    with mock.patch.object(module, "heatmaps_to_keypoints", read):
        return outputs(model, arguments)


def same(boxes: torch.Tensor, found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The found box for each of `boxes` [n, 4], and its row: itself and -1 where none is the same.

    `boxes` and `found` are in pixels; the same are those that differ by rounding.
    """
    if len(boxes) == 0 or len(found) == 0:
        return boxes, torch.full((len(boxes),), -1)
    found = found.to(boxes.dtype)
    apart, rows = (boxes[:, None] - found[None]).abs().amax(2).min(1)
    equal = apart <= ROUNDING * boxes.abs().max()
    return torch.where(equal[:, None], found[rows], boxes), torch.where(equal, rows, -1)


def highest(heat: torch.Tensor, region: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """[keypoints, 2] of the places as high as the highest of each map, the nearest to `wanted`.

    `heat` [keypoints, height, width] is stretched over `region` (left, top, right, bottom), a
    pixel each, as torchvision does.
    """
    sides = (region[2:] - region[:2]).clamp(min=1)
    width, height = (int(side.ceil()) for side in sides)
    stretched = nn.functional.interpolate(heat[None], size=(height, width), mode="bicubic")[0]
    limit = stretched.amax((1, 2), keepdim=True) - ROUNDING * stretched.abs().max()
    corrections = sides / torch.tensor([width, height])
    nearest: list[torch.Tensor] = []
    for high, place in zip(stretched >= limit, wanted, strict=True):
        candidates = (high.nonzero().flip(1) + 0.5) * corrections + region[:2]
        nearest.append(candidates[(candidates - place).abs().amax(1).argmin()])
    return torch.stack(nearest)


def _scale(model: nn.Module, arguments: Arguments) -> torch.Tensor:
    """How much wider the image is that the network sees, as (x, y, x, y)."""
    (images,) = arguments
    seen, _ = model.transform(images)  # pyright: ignore[reportCallIssue]
    ratios = [s / o for s, o in zip(seen.image_sizes[0], images[0].shape[-2:], strict=True)]
    return torch.tensor([*ratios[::-1], *ratios[::-1]])
