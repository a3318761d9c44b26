# SPDX-License-Identifier: Apache-2.0
"""A U-Net in small: what each pixel belongs to, from what is near and from what is around."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from scenes import CLASSES
from torch import nn

WEIGHTS = Path(__file__).with_name("unet.safetensors")
MEAN, STD = 0.5, 0.25
"""Pixels are divided by 255, less MEAN, divided by STD."""
STEP = 4
"""Heights and widths are multiples of it: the picture is halved twice."""


class UNet(nn.Module):
    """Two steps down and two up; each step up also reads what was there before the step down."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        c = channels
        self.first, self.second, self.third = block(3, c), block(c, 2 * c), block(2 * c, 4 * c)
        self.shrink = nn.MaxPool2d(2)
        self.up = nn.ModuleList(
            [nn.ConvTranspose2d(4 * c, 2 * c, 2, 2), nn.ConvTranspose2d(2 * c, c, 2, 2)]
        )
        self.join = nn.ModuleList([block(4 * c, 2 * c), block(2 * c, c)])
        self.classes = nn.Conv2d(c, len(CLASSES), 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """[batch, 3, height, width], normalized -> logits [batch, classes, height, width]."""
        fine = self.first(image)
        middle = self.second(self.shrink(fine))
        x = self.third(self.shrink(middle))
        for up, join, skipped in zip(self.up, self.join, (middle, fine), strict=True):
            x = join(torch.cat([up(x), skipped], dim=1))
        return self.classes(x)


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions, each with batch normalization and ReLU."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        convolution = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


def trained() -> UNet:
    """The network with the weights that train.py made, in eval mode."""
    model = UNet()
    model.load_state_dict({name: w.float() for name, w in load_file(WEIGHTS).items()})
    return model.eval()
