# SPDX-License-Identifier: Apache-2.0
"""A detector without anchors, whose suppression of double boxes is part of the model.

edge_trt build examples/detection/model.py:create -o digits.edge --target cpu --target rtx
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torchvision.ops import boxes

import edge_trt

WEIGHTS = Path(__file__).with_name("detector.safetensors")
SIZE, STRIDE, CLASSES = 128, 4, 10
MEAN, STD = 0.2, 0.25
"""What the model takes are pixels from 0 to 1, less MEAN, divided by STD."""


class Detector(nn.Module):
    """Each cell of a grid says which digit it lies in, and how far away the four edges are."""

    def __init__(self, channels: int = 40, candidates: int = 100) -> None:
        super().__init__()
        self.candidates = candidates
        self.backbone = nn.Sequential(
            *convolution(1, 24, 2),
            *convolution(24, channels, 2),
            *(layer for _ in range(4) for layer in convolution(channels, channels)),
        )
        self.head = nn.Conv2d(channels, CLASSES + 4, 3, padding=1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """[1, 1, H, W] -> boxes [n, 4] (left, top, right, bottom), scores [n], digits [n]."""
        logits, corners = self.grid(image)
        scores, digits = logits[0].sigmoid().max(dim=1)
        # As many candidates of every image: how many boxes there are is open only from nms on.
        scores, places = scores.topk(self.candidates)
        corners, digits = corners[0, places], digits[places]
        kept = boxes.batched_nms(corners, scores, digits, 0.5)
        return corners[kept], scores[kept], digits[kept]

    def grid(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [N, cells, 10] and boxes [N, cells, 4] of every cell."""
        maps = self.head(self.backbone(image))
        logits, distances = maps.flatten(2).mT.split([CLASSES, 4], dim=2)
        distances = distances.exp() * STRIDE
        at = centres(maps.shape[2], maps.shape[3])
        return logits, torch.cat([at - distances[..., :2], at + distances[..., 2:]], dim=2)


def convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    """A convolution with batch normalization and ReLU."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def centres(rows: int, columns: int) -> torch.Tensor:
    """Where the cells are, in pixels [cells, 2] (x, y)."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return (torch.stack([x.flatten(), y.flatten()], dim=1) + 0.5) * STRIDE


def trained() -> Detector:
    """The detector with the weights that train.py made, in eval mode."""
    model = Detector()
    model.load_state_dict(load_file(WEIGHTS))
    return model.eval()


def create() -> tuple[Detector, tuple[edge_trt.ImageInput]]:
    """The detector and its input: the bytes of a grey camera."""
    frame = edge_trt.ImageInput((1, SIZE, SIZE, 1), color="L", mean=[MEAN], std=[STD], name="frame")
    return trained(), (frame,)
