# SPDX-License-Identifier: Apache-2.0
"""A generated image task that is hard enough to lose accuracy on: shapes of four textures.

24 classes are pairs of a shape and a texture. Each image has one of them, turned, scaled and moved
at random, in random colours, over a background of waves, with smaller shapes of other classes
around it and noise on top. `batch(seed, size)` always gives the same images.
"""

from __future__ import annotations

import math

import torch

SIDE = 64
SHAPES = ("disc", "square", "triangle", "star", "ring", "cross")
TEXTURES = ("plain", "stripes", "checks", "dots")
CLASSES = len(SHAPES) * len(TEXTURES)
NOISE = 0.4

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images [N, 3, 64, 64], about -1 to 1, and labels [N]."""


def batch(seed: int, size: int, device: str = "cpu") -> Batch:
    """`size` images and labels; another seed gives other ones."""
    rng = torch.Generator(device).manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.rand(size, *shape, generator=rng, device=device) * (high - low) + low

    labels = torch.randint(0, CLASSES, (size,), generator=rng, device=device)
    image = _waves(uniform)
    for _ in range(3):
        others = torch.randint(0, CLASSES, (size,), generator=rng, device=device)
        centre = uniform(-0.95, 0.95, 2)
        image = _paste(image, others, centre, uniform(0.1, 0.17), uniform)
    centre = uniform(-0.35, 0.35, 2)
    image = _paste(image, labels, centre, uniform(0.22, 0.42), uniform)
    noise = torch.randn(image.shape, generator=rng, device=device)
    return (image + NOISE * noise).clamp(-1.5, 1.5), labels


def _grid(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    line = (torch.arange(SIDE, device=device) + 0.5) * (2 / SIDE) - 1
    return line[None, None, :], line[None, :, None]


def _waves(uniform) -> torch.Tensor:
    x, y = _grid(uniform(0, 1).device)
    total = 0
    for _ in range(3):
        angle, length = uniform(0, math.pi, 1, 1), uniform(2, 9, 1, 1)
        phase = uniform(0, 2 * math.pi, 1, 1)
        wave = torch.sin(length * (x * torch.cos(angle) + y * torch.sin(angle)) + phase)
        total = total + wave[:, None] * uniform(-0.3, 0.3, 3, 1, 1)
    return total + uniform(-0.4, 0.4, 3, 1, 1)


def _paste(image, classes, centre, scale, uniform) -> torch.Tensor:
    """Draws a shape over the image: its edge is a pixel wide, its colours are two."""
    angle = uniform(0, 2 * math.pi)
    x, y = _grid(image.device)
    x, y = x - centre[:, :1, None], y - centre[:, 1:, None]
    cos, sin = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    u, v = (x * cos + y * sin) / scale[:, None, None], (y * cos - x * sin) / scale[:, None, None]
    inside = _shapes(u, v)
    chosen = inside.gather(1, (classes // len(TEXTURES))[:, None, None, None].expand_as(u[:, None]))
    cover = torch.sigmoid(chosen * scale[:, None, None, None] * SIDE)
    pattern = _textures(u, v)
    pattern = pattern.gather(
        1, (classes % len(TEXTURES))[:, None, None, None].expand_as(u[:, None])
    )
    bright, dark = uniform(-0.9, 0.9, 3, 1, 1), uniform(-0.9, 0.9, 3, 1, 1)
    # Two colours that are alike would hide the texture.
    dark = torch.where((bright - dark).abs().mean(1, keepdim=True) < 0.5, -bright, dark)
    colour = bright + (dark - bright) * pattern
    return image + cover * (colour - image)


def _shapes(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """How far inside each shape a point is, [N, 6, H, W]; negative outside."""
    radius, angle = torch.hypot(u, v), torch.atan2(v, u)
    square = 0.85 - torch.maximum(u.abs(), v.abs())
    wedge = torch.remainder(angle + math.pi / 3, 2 * math.pi / 3) - math.pi / 3
    triangle = 0.6 - radius * torch.cos(wedge)
    star = 0.72 + 0.28 * torch.cos(5 * angle) - radius
    ring = 0.25 - (radius - 0.75).abs()
    arms = torch.maximum(0.3 - u.abs(), 0.3 - v.abs())
    cross = torch.minimum(arms, 1 - torch.maximum(u.abs(), v.abs()))
    return torch.stack([1 - radius, square, triangle, star, ring, cross], 1)


def _textures(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """0 to 1 for each texture, [N, 4, H, W]."""
    stripes = torch.sin(9 * u) > 0
    checks = (torch.sin(8 * u) * torch.sin(8 * v)) > 0
    dots = (torch.cos(9 * u) + torch.cos(9 * v)) > 0.9
    return torch.stack([torch.zeros_like(u), stripes.float(), checks.float(), dots.float()], 1)
