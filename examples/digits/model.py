# SPDX-License-Identifier: Apache-2.0
"""A small CNN, trained on the digits in seconds and cached beside this file.

edge_trt build examples/digits/model.py:create -o digits.edge --target cpu --target rtx
"""

from __future__ import annotations

from pathlib import Path

import torch
from data import splits  # the file beside this one
from torch import nn

import edge_trt

CACHE = Path(__file__).with_name("digits.pt")


class DigitNet(nn.Module):
    """Three convolutions with batch normalization, a residual, and a linear classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU())
        self.down = nn.Sequential(
            nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.BatchNorm2d(64), nn.ReLU()
        )
        self.same = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64))
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """[N, 1, 8, 8], 0 to 1 -> [N, 10] logits."""
        x = self.down(self.stem(image))
        x = torch.relu(x + self.same(x))
        return self.head(self.dropout(x.mean(dim=(2, 3))))


def create() -> tuple[nn.Module, tuple[edge_trt.Input]]:
    """The trained model and its input: 1 to 256 gray images of 8x8."""
    gray = edge_trt.ImageSpec(mean=[0.0], std=[1.0], color="L")
    image = edge_trt.Input(("batch", 1, 8, 8), min=1, opt=32, max=256, name="image", image=gray)
    return trained(), (image,)


def trained() -> nn.Module:
    """The model in eval mode, from the cache if there is one."""
    model = DigitNet()
    if CACHE.is_file():
        model.load_state_dict(torch.load(CACHE, weights_only=True))
    else:
        train(model)
        torch.save(model.state_dict(), CACHE)
    return model.eval()


def train(model: nn.Module, epochs: int = 25) -> None:
    """Trains with a fixed seed; about five seconds on a laptop."""
    (images, labels), _ = splits()
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    torch.manual_seed(0)
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    steps = epochs * -(-len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
            schedule.step()
