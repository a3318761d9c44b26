# SPDX-License-Identifier: Apache-2.0
"""The model that `run.sh` compiles for an arm64 machine: what a camera's classifier is made of."""

from __future__ import annotations

import torch
from torch import nn

import edge_trt


class Camera(nn.Module):
    """Convolutions, one of them grouped, a shortcut, an average and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.Hardswish())
        self.block = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, groups=4), nn.SiLU())
        self.classify = nn.Linear(16, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = self.stem(image)
        features = features + self.block(features)
        return self.classify(features.mean((2, 3))).softmax(-1)


def camera() -> tuple[nn.Module, tuple[edge_trt.Input]]:
    torch.manual_seed(0)
    image = edge_trt.Input(("batch", 3, 64, 64), min=1, opt=2, max=4)
    return Camera().eval(), (image,)
