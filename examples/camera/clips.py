# SPDX-License-Identifier: Apache-2.0
"""A video of handwritten digits that wander over the canvases of examples/detection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from canvases import Canvas, paint, scrambled, touch
from digits.data import splits
from model import SIZE

SCENE = 30
"""Frames between two cuts."""


@dataclass
class Wanderer:
    """A digit, or strokes that are none (-1), in its box; its speed is pixels right and down."""

    image: np.ndarray
    digit: int
    box: np.ndarray
    speed: np.ndarray

    def move(self, others: list[Wanderer]) -> None:
        """One frame on: turns at an edge of the canvas, and where it would touch another."""
        box = self.box + np.tile(self.speed, 2)
        out = (box[:2] < 0) | (box[2:] > SIZE)
        if any(touch(box, other.box) for other in others if other is not self):
            out[:] = True
        self.speed = np.where(out, -self.speed, self.speed)
        if not out.any():
            self.box = box


def clip(frames: int) -> Iterator[Canvas]:
    """So many frames of digits that the detector was not trained on, always the same ones."""
    for number in range(0, frames, SCENE):
        random = np.random.default_rng(number)
        wanderers = scene(random)
        light = random.uniform(0.6, 1)
        for _ in range(min(SCENE, frames - number)):
            yield photograph(wanderers, light, random)
            for wanderer in wanderers:
                wanderer.move(wanderers)


def scene(random: np.random.Generator) -> list[Wanderer]:
    """Some digits, and fewer other things, that don't touch."""
    _, (images, labels) = splits()
    wanderers: list[Wanderer] = []
    for _ in range(8):
        side = int(random.integers(18, 36))
        corner = random.integers(0, SIZE - side, 2).astype(float)
        box = np.concatenate([corner, corner + side])
        if any(touch(box, other.box) for other in wanderers):
            continue
        index = random.integers(len(labels))
        image, digit = images[index, 0], int(labels[index])
        if random.random() > 0.85:
            image, digit = scrambled(image, random), -1
        wanderers.append(Wanderer(image, digit, box, random.uniform(-3, 3, 2)))
    return wanderers


def photograph(wanderers: list[Wanderer], light: float, random: np.random.Generator) -> Canvas:
    """What a noisy camera sees of them, and what is there."""
    pixels = np.zeros((SIZE, SIZE))
    boxes = [w.box.round().astype(int) for w in wanderers]
    for wanderer, box in zip(wanderers, boxes, strict=True):
        paint(pixels, box, wanderer.image)
    pixels = pixels * light + random.normal(0.1, 0.06, pixels.shape)
    digits = np.array([w.digit for w in wanderers])
    return Canvas(
        (pixels.clip(0, 1) * 255).astype(np.uint8),
        np.array(boxes, np.float32)[digits >= 0],
        digits[digits >= 0],
    )
