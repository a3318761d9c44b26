# SPDX-License-Identifier: Apache-2.0
"""The architectures that are written down here, before and after the compiler."""

from __future__ import annotations

import torch

from tests.support.models import Detector, TextEncoder
from tests.support.oracles import check


def test_a_detector_gives_a_box_and_scores_per_anchor():
    model = Detector(width=4, classes=3).eval()
    images = torch.rand(2, 3, 64, 96)
    anchors = sum((64 // s) * (96 // s) for s in (8, 16, 32))
    assert model(images).shape == (2, 4 + 3, anchors)
    scores = model(images)[:, 4:]
    assert ((scores > 0) & (scores < 1)).all()
    check(model, (images,), kinds="Convolution Pooling Resize Concatenation SoftMax")


def test_a_text_encoder_reads_no_further_than_its_mask():
    model = TextEncoder(layers=1).eval()
    ids, mask = torch.randint(0, 100, (2, 9)), torch.ones(2, 9, dtype=torch.int64)
    mask[:, 6:] = 0
    other = ids.clone()
    other[:, 6:] = 7
    torch.testing.assert_close(model(ids, mask)[0][:, :6], model(other, mask)[0][:, :6])
    check(model, (ids, mask), kinds="Gather MatrixMultiply SoftMax Normalization")
