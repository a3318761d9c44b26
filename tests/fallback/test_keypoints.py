# SPDX-License-Identifier: Apache-2.0
"""Keypoints of regions without PyTorch, and the reason why PyTorch alone can't find them."""

from __future__ import annotations

import pytest
import torch

from edge_trt import UnsupportedError
from edge_trt.capture.torchvision_regions import heatmap_peaks
from tests.fallback.blocks import alone

MAPS, HEIGHTS, WIDTHS = torch.randn(6, 5, 7, 7), torch.arange(6) * 3 + 1, torch.arange(6) + 5


def test_keypoints_of_regions_of_any_size() -> None:
    saved = alone(heatmap_peaks, MAPS, HEIGHTS, WIDTHS).saved("onnxruntime")
    assert "always empty" not in saved.why


def test_no_region() -> None:
    def none(maps, heights, widths):
        chosen = torch.where(heights > 1000)[0]
        return heatmap_peaks(maps[chosen], heights[chosen], widths[chosen])

    assert alone(none, MAPS, HEIGHTS, WIDTHS).saved("onnxruntime").runner == "onnxruntime"


def test_a_torch_program_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"only ONNX Runtime has edge_trt::heatmap_peaks"):
        alone(heatmap_peaks, MAPS, HEIGHTS, WIDTHS).saved("torch")
