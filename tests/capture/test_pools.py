# SPDX-License-Identifier: Apache-2.0
"""`pools.py`: pooling that rounds up, or over one axis, keeps a range of sizes whole."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import edge_trt
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


LENGTHS = Input((1, 2, "s"), min=6, opt=11, max=20)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(
    "window", [(2,), (3, 2), (3, 2, 1), (2, 3), (4, 3, 2), (2, 1, 0, 3)], ids=str
)
def test_every_length_is_taken(window, ceil_mode):
    model = nn.MaxPool1d(*window, ceil_mode=ceil_mode).eval()
    captured = capture(model, LENGTHS)
    assert captured.signature.dims == {"s": Range(6, 11, 20)}
    graph = captured.program.graph
    assert [str(n.target) for n in graph.nodes if n.op == "call_function"] == [
        "aten.max_pool1d.default"
    ]
    run = eager(captured.program)
    for length in range(6, 21):
        x = torch.randn(1, 2, length)
        (result,) = run([x])
        assert torch.equal(torch.from_numpy(result), model(x)), length


def test_the_bundle_pools_every_length():
    bundle = edge_trt.compile(nn.MaxPool1d(3, 2, 1, ceil_mode=True).eval(), LENGTHS)
    assert [part.network is not None for part in bundle.parts] == [True]
    run = bundle.module()
    for length in range(6, 21):
        x = torch.randn(1, 2, length)
        assert torch.equal(run(x), nn.MaxPool1d(3, 2, 1, ceil_mode=True)(x)), length
