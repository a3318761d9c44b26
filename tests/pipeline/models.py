# SPDX-License-Identifier: Apache-2.0
"""Small models, and a comparison of what was compiled with what they say themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils import _pytree as pytree

import edge_trt
import edge_trt_runtime


class Net(nn.Module):
    """An image to four numbers: convolution, batch-norm, softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, image):
        features = self.norm(self.conv(image)).relu().mean((2, 3))
        return torch.softmax(self.head(features), -1)


class Hybrid(nn.Module):
    """TensorRT, then two operators that it lacks, then TensorRT."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.last = nn.Linear(5, 4)

    def forward(self, x):
        return self.last(torch.fft.rfft(self.first(x).relu()).abs())


IMAGE = torch.randn(2, 3, 8, 8)
X = torch.randn(3, 8)
FACTORY = (
    "from tests.pipeline.models import Hybrid, Net\ndef net(): return Net().eval()\n"
    "def hybrid(): return Hybrid().eval()\n"
)


def net() -> Net:
    return Net().eval()


def hybrid() -> Hybrid:
    return Hybrid().eval()


def batch(*shape: int, opt: int = 2) -> edge_trt.Input:
    """An input whose first size is 1 to 6."""
    return edge_trt.Input(("b", *shape), min=1, opt=opt, max=6)


def assert_as_eager(
    model: nn.Module, path: Path | edge_trt.Bundle, *inputs: torch.Tensor, rtol: float = 1e-4
) -> None:
    """A session gives what the model gives."""
    folder = path if isinstance(path, Path) else path.path
    assert folder is not None
    with torch.no_grad():
        expected = [
            leaf.detach()
            for leaf in pytree.tree_leaves(model(*inputs))
            if isinstance(leaf, torch.Tensor)
        ]
    with edge_trt_runtime.load(folder) as session:
        names = [spec.name for spec in session.signature.inputs]
        arrays = {n: t.numpy() for n, t in zip(names, inputs, strict=True)}
        outputs: list[Any] = list(session.run(arrays).values())
    assert len(outputs) == len(expected)
    for got, eager in zip(outputs, expected, strict=True):
        assert (got.dtype, got.shape) == (eager.numpy().dtype, tuple(eager.shape))
        scale = float(eager.abs().max()) if eager.numel() and eager.is_floating_point() else 1.0
        np.testing.assert_allclose(got, eager.numpy(), rtol=0, atol=rtol * max(scale, 1e-6))
