# SPDX-License-Identifier: Apache-2.0
"""Average precision at an overlap of one half, as PASCAL VOC counts it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from canvases import Canvas

OVERLAP = 0.5


class Found(NamedTuple):
    """What a detector says of a canvas, best first: boxes [n, 4], scores [n], digits [n]."""

    boxes: np.ndarray
    scores: np.ndarray
    digits: np.ndarray


def mean_average_precision(found: Sequence[Found], truth: Sequence[Canvas]) -> float:
    """The mean over all digits that occur."""
    occurring = np.unique(np.concatenate([c.digits for c in truth]))
    return float(np.mean([average_precision(found, truth, digit) for digit in occurring]))


def average_precision(found: Sequence[Found], truth: Sequence[Canvas], digit: int) -> float:
    """Area below the curve of precision over recall for one digit."""
    judged: list[tuple[float, bool]] = []
    for detections, canvas in zip(found, truth, strict=True):
        chosen, wanted = detections.digits == digit, canvas.boxes[canvas.digits == digit]
        right = matches(detections.boxes[chosen], wanted)
        judged += zip(detections.scores[chosen].tolist(), right, strict=True)
    judged.sort(key=lambda pair: -pair[0])
    hits = np.cumsum([right for _, right in judged])
    total = sum(int((canvas.digits == digit).sum()) for canvas in truth)
    precision = hits / np.arange(1, len(hits) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best_from_here * np.diff(hits, prepend=0)).sum() / total)


def matches(boxes: np.ndarray, wanted: np.ndarray) -> list[bool]:
    """Which boxes, best first, are the first to lie on one that is wanted."""
    free = np.ones(len(wanted), bool)
    right: list[bool] = []
    for box in boxes:
        overlaps = np.where(free, overlap(box, wanted), 0)
        best = int(overlaps.argmax()) if len(wanted) else -1
        right.append(best >= 0 and bool(overlaps[best] >= OVERLAP))
        free[best if right[-1] else []] = False
    return right


def overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box with others [n, 4]."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = sides.clip(0).prod(axis=1)
    area = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return shared / ((box[2:] - box[:2]).prod() + area - shared)
