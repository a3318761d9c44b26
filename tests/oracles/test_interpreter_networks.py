# SPDX-License-Identifier: Apache-2.0
"""The interpreter's proof: whole networks as NVIDIA's parser reads them equal eager PyTorch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.support.compare import relative_error
from tests.support.onnx_parser import feeds_for, parse
from tests.support.trt_interpreter import Interpreter
from tests.support.zoo import ZOO

trt = pytest.importorskip("tensorrt_rtx")
pytestmark = pytest.mark.rtx

KINDS = {
    "resnet50": {"CONVOLUTION": 53, "POOLING": 1},
    "mobilenet_v3_large": {"CONVOLUTION": 62},
    "vit_b_16": {"NORMALIZATION": 25, "SOFTMAX": 12},
    "swin_t": {"NORMALIZATION": 29, "SOFTMAX": 12, "SLICE": 88},
}
"""Layers whose number follows from the architecture: nothing was folded away."""


@pytest.mark.parametrize("name", KINDS)
def test_parsed_network_equals_eager(name: str) -> None:
    entry = ZOO[name]
    model, image = entry.build(), entry.example()
    with torch.no_grad():
        expected = model(image)
    parsed = parse(model, (image,), trt)
    interpreter = Interpreter(parsed.definition, trt)
    (result,) = interpreter.run(feeds_for(parsed, (image,))).values()
    assert relative_error(result, expected) < 1e-4
    assert interpreter.kinds.items() >= KINDS[name].items()


class Dynamic(nn.Module):
    """Sizes that flow through shape layers, and layers that take them as inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.norm = nn.LayerNorm(8)
        self.position = nn.Parameter(torch.randn(1, 1, 8))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.conv(x)
        tokens = self.norm(y.flatten(2).transpose(1, 2)) + self.position
        first = self.position.expand(x.shape[0], 1, 8)
        tokens = torch.cat([first, tokens], 1)
        back = tokens[:, 1:].transpose(1, 2).reshape(y.shape)
        large = F.interpolate(back, size=x.shape[-2:], mode="bilinear", align_corners=False)
        padded = F.pad(x, (0, x.shape[2], 1, 0))
        count = torch.arange(x.shape[3]) * 2
        return tokens, large, padded, x[:, :, -2:, :: x.shape[0]], count


@pytest.mark.parametrize("shape", [(1, 3, 16, 24), (2, 3, 16, 24), (5, 3, 21, 9)])
def test_sizes_come_from_the_feeds(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    batch, height, width = (torch.export.Dim(n, min=1, max=64) for n in "bhw")
    model = Dynamic().eval()
    dims = ({0: batch, 2: height, 3: width},)
    parsed = parse(model, (torch.randn(2, 3, 16, 24),), trt, dynamic_shapes=dims)
    x = torch.randn(shape)
    results = Interpreter(parsed.definition, trt).run(feeds_for(parsed, (x,))).values()
    with torch.no_grad():
        expected = model(x)
    for result, eager in zip(results, expected, strict=True):
        assert relative_error(result, eager) < 1e-5


def test_half_precision_rounds_where_tensorrt_does() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5)).half()
    x = torch.randn(2, 3, 8, 8).half()
    parsed = parse(model, (x,), trt)
    (result,) = Interpreter(parsed.definition, trt).run(feeds_for(parsed, (x,))).values()
    with torch.no_grad():
        exact = model.float()(x.float())
    assert result.dtype is torch.float16
    error = relative_error(result.float(), exact)
    assert 1e-6 < error < 5e-3
