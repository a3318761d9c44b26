# SPDX-License-Identifier: Apache-2.0
"""Point clouds that are made up: cars, people, bushes, and the ground around a laser scanner."""

from __future__ import annotations

import numpy as np
from model import CELLS, CLASSES, METRES

SIDE = CELLS * METRES


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points [n, 4] (x, y, height, reflection) as float32, and the class of each cell."""
    random = np.random.default_rng(seed)
    clouds = [(0, ground(random))]
    clouds += [(0, bush(random)) for _ in range(random.integers(1, 4))]
    clouds += [(CLASSES.index("car"), car(random)) for _ in range(random.integers(1, 4))]
    clouds += [(CLASSES.index("person"), person(random)) for _ in range(random.integers(1, 5))]
    classes = np.zeros((CELLS, CELLS), np.int64)
    for number, cloud in clouds:
        cloud[:, :2] = cloud[:, :2].clip(0, SIDE - 1e-3)
        column, row = (cloud[:, :2] / METRES).astype(int).T
        classes[row, column] = np.maximum(classes[row, column], number)
    points = np.concatenate([cloud for _, cloud in clouds]).astype(np.float32)
    return random.permutation(points), classes


def ground(random: np.random.Generator) -> np.ndarray:
    """Points everywhere, near the ground."""
    n = random.integers(500, 1000)
    return np.column_stack(
        [random.uniform(0, SIDE, (n, 2)), random.normal(0, 0.05, n), random.uniform(0, 1, n)]
    )


def car(random: np.random.Generator) -> np.ndarray:
    """The outline of a rectangle of some 4 by 2 metres, turned to some side."""
    n = random.integers(80, 160)
    along, side = random.uniform(-1, 1, n), random.integers(0, 4, n)
    ends, length = np.where(side % 2, 1.0, -1.0), random.uniform(1.8, 2.3)
    outline = np.where(side[:, None] < 2, np.stack([along, ends], 1), np.stack([ends, along], 1))
    outline = outline * [length, 0.9] + random.normal(0, 0.04, (n, 2))
    angle = random.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    heights, reflections = random.uniform(0.2, 1.5, n), random.normal(0.6, 0.1, n)
    return np.column_stack([outline @ turn + somewhere(random), heights, reflections])


def person(random: np.random.Generator) -> np.ndarray:
    """A narrow cloud, as high as a person."""
    return blob(random, int(random.integers(20, 50)), 0.15, random.uniform(1.5, 1.9))


def bush(random: np.random.Generator) -> np.ndarray:
    """A wide cloud, lower than a person."""
    return blob(
        random, int(random.integers(60, 120)), random.uniform(0.4, 0.7), random.uniform(0.6, 1)
    )


def blob(random: np.random.Generator, n: int, width: float, height: float) -> np.ndarray:
    """Points around a place of the ground."""
    places = somewhere(random) + random.normal(0, width, (n, 2))
    return np.column_stack([places, random.uniform(0, height, n), random.normal(0.5, 0.15, n)])


def somewhere(random: np.random.Generator) -> np.ndarray:
    """A place that is not at the edge."""
    return random.uniform(2, SIDE - 2, 2)
