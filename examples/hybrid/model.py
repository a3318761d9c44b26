# SPDX-License-Identifier: Apache-2.0
"""A network on point clouds, PointPillars in small: points, pillars, a grid of the ground."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

WEIGHTS = Path(__file__).with_name("pillars.safetensors")
CELLS, METRES = 32, 0.5
"""The ground is a square of so many cells in each direction, each so wide."""
CLASSES = ("nothing", "car", "person")


class Pillars(nn.Module):
    """Which cells of the ground belong to a car or a person."""

    def __init__(self, channels: int = 24) -> None:
        super().__init__()
        self.points = nn.Sequential(
            nn.Linear(6, channels), nn.ReLU(), nn.Linear(channels, channels), nn.ReLU()
        )
        self.ground = nn.Sequential(
            *convolution(channels, 24), *convolution(24, 24, 2), *convolution(24, 24, 4)
        )
        self.classes = nn.Conv2d(24, len(CLASSES), 1)

    def forward(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Points [n, 4] (x, y, height, reflection) -> logits, occupied cells, points in each."""
        place = points[:, :2] / METRES
        cell = place.floor().clamp(0, CELLS - 1)
        features = self.points(torch.cat([points, place - cell - 0.5], dim=1))

        # How many cells have points in them only the points tell: TensorRT has no such layer.
        number = (cell[:, 1] * CELLS + cell[:, 0]).long()
        occupied, pillar, counts = number.unique(return_inverse=True, return_counts=True)
        pillars = features.new_zeros(occupied.shape[0], features.shape[1])
        pillar = pillar[:, None].expand_as(features)
        pillars = pillars.scatter_reduce(0, pillar, features, "amax")
        ground = features.new_zeros(CELLS * CELLS, features.shape[1])
        ground = ground.index_copy(0, occupied, pillars)

        image = ground.T.reshape(1, -1, CELLS, CELLS)
        return self.classes(self.ground(image)), occupied, counts


def convolution(inputs: int, outputs: int, dilation: int = 1) -> list[nn.Module]:
    """A convolution that keeps the size, batch normalization, and ReLU."""
    convolution = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def trained() -> Pillars:
    """The network with the weights that train.py made, in eval mode."""
    model = Pillars()
    model.load_state_dict(load_file(WEIGHTS))
    return model.eval()
