# SPDX-License-Identifier: Apache-2.0
"""torchvision's operators that sample images: in TensorRT where all sizes are known."""

from __future__ import annotations

import pytest
import torch

from edge_trt.capture.torchvision_ops import provide_kernels
from tests.conversion.checking import check_lowered
from tests.conversion.rows import Row, f

provide_kernels()
vision = torch.ops.torchvision
CORNERS = torch.tensor([[2.0, 3, 20, 18], [30, 5, 39, 31], [8, 8, 8, 8], [0, 0, 40, 32]])
IMAGE, PAIR = f(1, 3, 8, 10), f(2, 4, 7, 9)


def pooled(ratio: int, aligned: bool):
    def pool(x: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
        rois = torch.cat([torch.zeros(4, 1), corners], 1)  # all of the first image
        return vision.roi_align(x, rois, 0.25, 3, 2, ratio, aligned)

    return pool


def convolved(stride: int, pad: int, dilation: int, groups: int, shown: bool):
    sizes = (stride, stride, pad, pad, dilation, dilation, groups, 2, shown)
    return lambda x, w, o, m, b: vision.deform_conv2d(x, w, o, m, b, *sizes)


def weights(out_h: int, out_w: int, groups: int = 1):
    offset, mask = f(2, 2 * 2 * 9, out_h, out_w), f(2, 2 * 9, out_h, out_w)
    return f(6, 4 // groups, 3, 3), offset, mask, f(6)


ROWS = [
    Row("roi_align", pooled(2, False), (IMAGE, CORNERS)),
    Row("roi_align aligned", pooled(3, True), (IMAGE, CORNERS)),
    Row("roi_align of unknown samples", pooled(0, True), (IMAGE, CORNERS), refusal="no layer that"),
    Row("roi_align of images", pooled(2, True), (PAIR, CORNERS), refusal="no layer that"),
    Row("deform_conv2d", convolved(1, 1, 1, 1, False), (PAIR, *weights(7, 9))),
    Row("deform_conv2d masked", convolved(2, 2, 2, 2, True), (PAIR, *weights(4, 5, 2))),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_regions(row: Row) -> None:
    check_lowered(row)
