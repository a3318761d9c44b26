# SPDX-License-Identifier: Apache-2.0
"""Colour pictures of discs, squares and triangles, and which pixel belongs to what."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CLASSES = ("ground", "disc", "square", "triangle")


class Scene(NamedTuple):
    """Pixels [H, W, 3] of uint8 as a camera gives them, and the class of each, [H, W] of int64."""

    pixels: np.ndarray
    classes: np.ndarray


def scene(seed: int, height: int = 64, width: int = 64) -> Scene:
    """A random picture; one shape for every 700 pixels or so, later ones over earlier ones."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    slope, colour = rng.uniform(-1, 1, (2, 3)), rng.uniform(60, 190, 3)
    picture = colour + y[..., None] * slope[0] + x[..., None] * slope[1]
    classes = np.zeros((height, width), np.int64)
    for _ in range(round(height * width / 700)):
        kind, radius = int(rng.integers(1, len(CLASSES))), rng.uniform(6, 12)
        middle = rng.uniform((0, 0), (height, width))
        inside = _shape(kind, (y - middle[0]) / radius, (x - middle[1]) / radius, rng)
        picture[inside] = rng.uniform(0, 255, 3)
        classes[inside] = kind
    picture += rng.normal(0, 12, picture.shape)
    return Scene(picture.clip(0, 255).astype(np.uint8), classes)


def _shape(kind: int, y: np.ndarray, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which places are inside of a shape of radius one, turned by any angle."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.cos(angle) * y - np.sin(angle) * x, np.sin(angle) * y + np.cos(angle) * x
    if kind == 1:
        return y**2 + x**2 < 0.8
    if kind == 2:
        return np.maximum(np.abs(y), np.abs(x)) < 0.75
    return (y < 0.6) & (np.abs(x) * 1.9 < y + 1.2)
