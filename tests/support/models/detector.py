# SPDX-License-Identifier: Apache-2.0
"""A one-stage detector in the manner of YOLOv8: CSP backbone, path-aggregating neck, DFL head.

    model = Detector(width=16, classes=8).eval()
    boxes_and_scores = model(images)  # [batch, 4 + classes, anchors], boxes as cx, cy, w, h

Height and width may be any multiple of 32. `decode=False` returns the three feature maps instead.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDES = (8, 16, 32)
BINS = 16


class Conv(nn.Sequential):
    """Convolution, batch-norm, SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3),
            nn.SiLU(inplace=True),
        )


class Bottleneck(nn.Module):
    """Two convolutions, with a shortcut where asked for."""

    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.first = Conv(channels, channels, 3)
        self.second = Conv(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.first(x))
        return x + y if self.shortcut else y


class C2f(nn.Module):
    """Splits channels, keeps what each bottleneck gives, joins all of it."""

    def __init__(self, inputs: int, outputs: int, repeat: int, shortcut: bool = False) -> None:
        super().__init__()
        self.enter = Conv(inputs, outputs)
        self.blocks = nn.ModuleList(Bottleneck(outputs // 2, shortcut) for _ in range(repeat))
        self.leave = Conv((2 + repeat) * outputs // 2, outputs)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.enter(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.leave(torch.cat(parts, 1))


class PyramidPooling(nn.Module):
    """Three poolings one after the other, joined (SPPF)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = Conv(channels, channels // 2)
        self.leave = Conv(channels * 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.enter(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        return self.leave(torch.cat(parts, 1))


class Head(nn.Module):
    """Box distributions and class scores of one feature map."""

    def __init__(self, channels: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.box = nn.Sequential(
            Conv(channels, hidden, 3), Conv(hidden, hidden, 3), nn.Conv2d(hidden, 4 * BINS, 1)
        )
        self.score = nn.Sequential(
            Conv(channels, hidden, 3), Conv(hidden, hidden, 3), nn.Conv2d(hidden, classes, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.box(x), self.score(x)], 1)


class Detector(nn.Module):
    """The whole; `width` is the number of channels after the first convolution."""

    def __init__(
        self, width: int = 16, classes: int = 80, repeat: int = 1, decode: bool = True
    ) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = (width * 2**i for i in range(5))
        self.stem = nn.Sequential(
            Conv(3, c1, 3, 2), Conv(c1, c2, 3, 2), C2f(c2, c2, repeat, shortcut=True)
        )
        self.stage3 = nn.Sequential(Conv(c2, c3, 3, 2), C2f(c3, c3, repeat, shortcut=True))
        self.stage4 = nn.Sequential(Conv(c3, c4, 3, 2), C2f(c4, c4, repeat, shortcut=True))
        self.stage5 = nn.Sequential(
            Conv(c4, c5, 3, 2), C2f(c5, c5, repeat, shortcut=True), PyramidPooling(c5)
        )
        self.up4 = C2f(c5 + c4, c4, repeat)
        self.up3 = C2f(c4 + c3, c3, repeat)
        self.down3 = Conv(c3, c3, 3, 2)
        self.down4 = Conv(c4, c4, 3, 2)
        self.join4 = C2f(c3 + c4, c4, repeat)
        self.join5 = C2f(c4 + c5, c5, repeat)
        self.heads = nn.ModuleList(Head(c, max(c3, 4 * BINS // 4), classes) for c in (c3, c4, c5))
        self.classes = classes
        self.decode = decode
        self.register_buffer("bins", torch.arange(BINS, dtype=torch.float32).view(1, 1, BINS, 1))

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        p3 = self.stage3(self.stem(images))
        p4 = self.stage4(p3)
        p5 = self.stage5(p4)
        n4 = self.up4(torch.cat([F.interpolate(p5, scale_factor=2.0), p4], 1))
        n3 = self.up3(torch.cat([F.interpolate(n4, scale_factor=2.0), p3], 1))
        n4 = self.join4(torch.cat([self.down3(n3), n4], 1))
        n5 = self.join5(torch.cat([self.down4(n4), p5], 1))
        maps = [head(x) for head, x in zip(self.heads, (n3, n4, n5), strict=True)]
        return self._decoded(maps) if self.decode else tuple(maps)

    def _decoded(self, maps: list[Tensor]) -> Tensor:
        """Boxes in pixels and scores from 0 to 1, of all anchors of all maps."""
        flat = torch.cat([x.flatten(2) for x in maps], 2)
        distribution, scores = flat.split([4 * BINS, self.classes], 1)
        batch, _, anchors = distribution.shape
        sides = (distribution.view(batch, 4, BINS, anchors).softmax(2) * self.bins).sum(2)
        centres, strides = anchor_points(maps)
        near, far = sides.chunk(2, 1)
        low, high = centres - near, centres + far
        boxes = torch.cat([(low + high) / 2, high - low], 1) * strides
        return torch.cat([boxes, scores.sigmoid()], 1)


def anchor_points(maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Centres [2, anchors] in cells, and the stride of each [1, anchors]."""
    centres: list[Tensor] = []
    strides: list[Tensor] = []
    for x, stride in zip(maps, STRIDES, strict=True):
        height, width = x.shape[2:]
        rows = torch.arange(height, dtype=x.dtype, device=x.device) + 0.5
        columns = torch.arange(width, dtype=x.dtype, device=x.device) + 0.5
        grid = (columns.expand(height, width), rows[:, None].expand(height, width))
        centres.append(torch.stack(grid).reshape(2, -1))
        strides.append(torch.full((1, height * width), float(stride), dtype=x.dtype))
    return torch.cat(centres, 1), torch.cat(strides, 1)
