# SPDX-License-Identifier: Apache-2.0
"""The last step of a detector is forgiven its jumps within rounding, and nothing else."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from edge_trt.capture.torchvision_ops import provide_kernels
from tests.support.last_steps import highest, same, with_keypoints_at, with_masks_at

provide_kernels()
SCORE, LABEL = torch.ones(1), torch.ones(1, dtype=torch.int64)
IMAGE = torch.zeros(3, 16, 16)
EDGE = 394 / 29
"""Lower edge of a box from 2 which ends at 14 when it is grown by 30 / 28 about its middle."""


class Pasting(nn.Module):
    """Finds one box whose grown lower edge is cut to 14 or to 13, as rounding likes."""

    def __init__(self, bottom: float) -> None:
        super().__init__()
        self.box = torch.tensor([[2.0, 2.0, 8.0, bottom]])

    def forward(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        transform: Any = importlib.import_module("torchvision.models.detection.transform")
        mask = torch.linspace(0, 1, 28 * 28).reshape(1, 1, 28, 28)
        pasted = transform.paste_masks_in_image(mask, self.box, (16, 16))
        return [self.box, LABEL, SCORE, pasted]


class Reading(nn.Module):
    """Reads one keypoint of a map with two summits, in an image seen at twice its size."""

    def __init__(self, summits: tuple[float, float]) -> None:
        super().__init__()
        self.heat = torch.zeros(1, 1, 8, 8)
        self.heat[0, 0, 2, 2], self.heat[0, 0, 6, 5] = summits

    def transform(self, images: list[torch.Tensor]) -> tuple[Any, None]:
        return SimpleNamespace(image_sizes=[(32, 32)]), None

    def forward(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        heads: Any = importlib.import_module("torchvision.models.detection.roi_heads")
        region = torch.tensor([[4.0, 4.0, 12.0, 12.0]])
        keypoints, scores = heads.heatmaps_to_keypoints(self.heat, region)
        keypoints[..., :2] /= 2
        return [region / 2, LABEL, SCORE, keypoints, scores]


def test_a_mask_stands_between_the_edges_that_were_found() -> None:
    below, above = Pasting(EDGE - 1e-4)([IMAGE]), Pasting(EDGE + 1e-4)([IMAGE])
    assert (below[3] - above[3]).abs().max() > 0.01
    expected = with_masks_at(Pasting(EDGE - 1e-4), ([IMAGE],), above)
    assert torch.equal(expected[3], above[3])
    assert torch.equal(expected[0], below[0])  # boxes are still those of eager


def test_a_mask_elsewhere_is_wrong() -> None:
    eager = Pasting(9.0)([IMAGE])
    found = Pasting(9.5)([IMAGE])
    assert torch.equal(with_masks_at(Pasting(9.0), ([IMAGE],), found)[3], eager[3])


def test_of_two_places_as_high_the_one_that_was_found_is_right() -> None:
    found = Reading((1.0, 1.0 + 1e-5))([IMAGE])
    eager = Reading((1.0 + 1e-5, 1.0))
    assert not torch.equal(eager([IMAGE])[3], found[3])
    assert torch.equal(with_keypoints_at(eager, ([IMAGE],), found)[3], found[3])


def test_a_lower_place_is_wrong() -> None:
    found = Reading((1.0, 1.01))([IMAGE])
    eager = Reading((1.01, 1.0))
    assert torch.equal(with_keypoints_at(eager, ([IMAGE],), found)[3], eager([IMAGE])[3])


def test_boxes_are_the_same_within_rounding() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 5, 9, 9]])
    found = torch.tensor([[5.0, 5, 9, 9.0005], [0, 0, 10, 10.5]])
    moved, rows = same(boxes, found)
    assert rows.tolist() == [-1, 0]
    assert torch.equal(moved, torch.stack([boxes[0], found[0]]))
    assert same(boxes, found[:0])[1].tolist() == [-1, -1]


def test_the_highest_place_is_a_pixel_of_the_region() -> None:
    heat = torch.zeros(1, 4, 4)
    heat[0, 1, 2] = 1
    region = torch.tensor([10.0, 20.0, 14.0, 24.0])
    assert highest(heat, region, torch.zeros(1, 2)).tolist() == [[12.5, 21.5]]
