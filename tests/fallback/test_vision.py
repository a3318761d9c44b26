# SPDX-License-Identifier: Apache-2.0
"""torchvision's operators in a fallback without PyTorch, and a detector around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import edge_trt
from edge_trt.capture.torchvision_ops import provide_kernels
from tests.fallback.blocks import alone
from tests.pipeline.models import assert_as_eager

provide_kernels()
vision = torch.ops.torchvision


def boxes(count: int) -> torch.Tensor:
    corners = torch.rand(count, 2) * 20
    return torch.cat([corners, corners + 1 + torch.rand(count, 2) * 8], 1)


ROIS = torch.cat([torch.tensor([[0.0], [1.0], [0.0]]), boxes(3) / 2], 1)
IMAGE = torch.randn(2, 4, 16, 18)


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.9])
def test_nms(threshold: float) -> None:
    saved = alone(lambda b, s: vision.nms(b, s, threshold), boxes(50), torch.rand(50)).saved(
        "onnxruntime"
    )
    assert "always empty" not in saved.why


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [0, 2, -1])
def test_roi_align(aligned: bool, ratio: int) -> None:
    pooled = alone(lambda x, r: vision.roi_align(x, r, 0.5, 5, 7, ratio, aligned), IMAGE, ROIS)
    saved = pooled.saved("onnxruntime")
    assert saved.why.startswith("equals PyTorch on ")
    assert "always empty" not in saved.why


@pytest.mark.parametrize("options", [{}, {"stride": 2, "pad": 2, "dilation": 2}, {"groups": 2}])
@pytest.mark.parametrize("use_mask", [False, True])
def test_deform_conv2d(options: dict[str, int], use_mask: bool) -> None:
    stride, pad = options.get("stride", 1), options.get("pad", 1)
    dilation, groups = options.get("dilation", 1), options.get("groups", 1)
    weight, bias = torch.randn(6, 4 // groups, 3, 3), torch.randn(6)
    out_h, out_w = ((s + 2 * pad - 2 * dilation - 1) // stride + 1 for s in IMAGE.shape[2:])
    offset = torch.randn(2, groups * 18, out_h, out_w)
    mask = torch.rand(2, groups * 9, out_h, out_w)

    def convolve(x, o, m):
        sizes = (stride, stride, pad, pad, dilation, dilation)
        return vision.deform_conv2d(x, weight, o, m, bias, *sizes, groups, groups, use_mask)

    saved = alone(convolve, IMAGE, offset, mask).saved()
    assert saved.runner == "onnxruntime", saved.why


class Detector(nn.Module):
    """Boxes of a grid with NMS by class, as detectors do it."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 64, 3, 2, 1), nn.ReLU(), nn.Conv2d(64, 64, 3, 2, 1), nn.ReLU()
        )
        self.head = nn.Conv2d(64, 4 + 3, 1)

    def forward(self, image):
        y = self.head(self.backbone(image))[0].flatten(1).mT
        centre, size = y[:, :2].sigmoid() * 64, y[:, 2:4].exp()
        boxes = torch.cat([centre - size, centre + size], 1)
        scores, labels = y[:, 4:].softmax(1).max(1)
        kept = torch.nonzero(scores > 0.4).squeeze(1)
        boxes, scores, labels = boxes[kept], scores[kept], labels[kept]
        apart = boxes + labels[:, None] * 1000.0
        best = vision.nms(apart, scores, 0.5)[:20]
        return boxes[best], scores[best], labels[best]


@pytest.mark.parametrize("least", [None, 1])
def test_a_detector_with_nms(least: int | None, tmp_path: Path) -> None:
    model, image = Detector().eval(), torch.randn(1, 3, 64, 64)
    options: dict[str, Any] = {"fallback": "onnxruntime", "min_block_size": least}
    bundle = edge_trt.compile(model, (image,), **options)
    bundle.save(tmp_path / "m.edge")
    assert [b["kind"] for b in bundle.coverage["blocks"]] == ["tensorrt", "fallback"]
    assert bundle.coverage["by_flops"] > 0.9
    for _ in range(3):
        assert_as_eager(model, bundle, torch.randn(1, 3, 64, 64))
