# SPDX-License-Identifier: Apache-2.0
"""`ceil_mode.py`: pooling that rounds up keeps a range of sizes whole."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edge_trt.capture import Input, capture
from edge_trt.lowering.eager import eager
from edge_trt_runtime.manifest import Range

SIDE = (8, 13, 20)
LEAST, USUAL, LARGEST = ((1, 2, side, side) for side in SIDE)
IMAGES = Input((1, 2, "h", "w"), min=LEAST, opt=USUAL, max=LARGEST)


@pytest.mark.parametrize("pool", [nn.MaxPool2d, nn.AvgPool2d])
@pytest.mark.parametrize("window", [(2,), (3, 2), (3, 2, 1), (2, 3), (2, 3, 1), (4, 3, 2)], ids=str)
def test_every_size_is_taken(pool, window):
    model = pool(*window, ceil_mode=True).eval()
    captured = capture(model, IMAGES)
    assert captured.signature.dims == {"h": Range(*SIDE), "w": Range(*SIDE)}
    run = eager(captured.program)
    for height in range(SIDE[0], SIDE[2] + 1):
        image = torch.randn(1, 2, height, 28 - height)
        (result,) = run([image])
        assert torch.equal(torch.from_numpy(result), model(image)), height
