# SPDX-License-Identifier: Apache-2.0
"""Canvases with handwritten digits of several sizes, and things that are none."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from digits.data import Split, splits
from model import SIZE
from PIL import Image


class Canvas(NamedTuple):
    """Pixels [SIZE, SIZE] as bytes, boxes [n, 4] (left, top, right, bottom), and digits [n]."""

    pixels: np.ndarray
    boxes: np.ndarray
    digits: np.ndarray


def canvas(seed: int, *, training: bool) -> Canvas:
    """A canvas of digits that are for training, or held out."""
    random = np.random.default_rng(seed + (0 if training else 10**9))
    images, labels = _splits()[0 if training else 1]
    pixels = np.zeros((SIZE, SIZE))
    boxes: list[np.ndarray] = []
    digits: list[int] = []
    for _ in range(random.integers(3, 9)):
        side = int(random.integers(14, 36))
        left, top = random.integers(0, SIZE - side, 2)
        box = np.array([left, top, left + side, top + side])
        if any(touch(box, other) for other in boxes):
            continue
        boxes.append(box)
        index = random.integers(len(labels))
        is_digit = random.random() < 0.85
        paint(pixels, box, images[index, 0] if is_digit else scrambled(images[index, 0], random))
        digits.append(int(labels[index]) if is_digit else -1)
    pixels = pixels * random.uniform(0.6, 1) + random.normal(0.1, 0.06, pixels.shape)
    chosen = np.array(digits) >= 0
    return Canvas(
        (pixels.clip(0, 1) * 255).astype(np.uint8),
        np.array(boxes, np.float32)[chosen],
        np.array(digits)[chosen],
    )


@cache
def _splits() -> tuple[Split, Split]:
    return splits()


def touch(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two boxes share a pixel."""
    return bool((np.maximum(one[:2], other[:2]) < np.minimum(one[2:], other[2:])).all())


def paint(pixels: np.ndarray, box: np.ndarray, image: np.ndarray) -> None:
    """Puts an image into a box of the canvas."""
    left, top, right, bottom = box
    size = (right - left, bottom - top)
    resized = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    pixels[top:bottom, left:right] = np.asarray(resized)


def scrambled(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The strokes of a digit in another order, which no longer are one."""
    quarters = [image[y : y + 4, x : x + 4] for y in (0, 4) for x in (0, 4)]
    a, b, c, d = (np.rot90(quarters[i], int(random.integers(4))) for i in random.permutation(4))
    return np.block([[a, b], [c, d]])
