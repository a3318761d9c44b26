# SPDX-License-Identifier: Apache-2.0
"""What replaces torchvision's loops over regions gives what they give."""

from __future__ import annotations

import torch

from edge_trt.capture import torchvision_regions
from edge_trt.capture.torchvision_ops import provide_kernels

provide_kernels()


def regions(count: int) -> torch.Tensor:
    """Boxes in an image of 60 x 80, with one of no area and one of all of it."""
    corners = torch.rand(count, 2) * 50
    boxes = torch.cat([corners, corners + torch.rand(count, 2) * 40], 1)
    boxes[0] = torch.tensor([5.0, 5, 5, 5])
    boxes[1] = torch.tensor([0.0, 0, 80, 60])
    return boxes


def test_masks_are_pasted_as_torchvision_pastes_them() -> None:
    from torchvision.models.detection.roi_heads import paste_masks_in_image

    masks, boxes = torch.rand(40, 1, 28, 28), regions(40)
    pasted = torchvision_regions._paste_masks(masks, boxes, (60, 80))
    torch.testing.assert_close(pasted, paste_masks_in_image(masks, boxes, (60, 80)))
    assert torchvision_regions._paste_masks(masks[:0], boxes[:0], (60, 80)).shape == (0, 1, 60, 80)


def test_keypoints_are_where_torchvision_finds_them() -> None:
    from torchvision.models.detection.roi_heads import heatmaps_to_keypoints

    maps, boxes = torch.randn(9, 17, 14, 14), regions(9)
    found = torchvision_regions._keypoints(maps, boxes)
    for got, expected in zip(found, heatmaps_to_keypoints(maps, boxes), strict=True):
        torch.testing.assert_close(got, expected)
