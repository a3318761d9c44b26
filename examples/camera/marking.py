# SPDX-License-Identifier: Apache-2.0
"""Boxes and their numbers on a picture, with numpy alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

SHOWN = 0.5
"""The least score of a box that counts."""
LIME, YELLOW = (0, 255, 0), (255, 230, 0)
LEAST_SIDE = 256
GLYPHS = {  # rows of three pixels from top to bottom
    digit: np.array([[int(row) >> 2 - x & 1 for x in range(3)] for row in rows], bool)
    for digit, rows in zip(
        "0123456789",
        ["75557", "26227", "71747", "71717", "55711", "74717", "74757", "71122", "75757", "75717"],
        strict=True,
    )
}


class Found(NamedTuple):
    """Boxes [n, 4] (left, top, right, bottom), scores [n] and classes [n]."""

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


def found_in(outputs: Mapping[str, np.ndarray]) -> Found | None:
    """What a detector says, best first; None for outputs of another kind."""
    arrays = [array for array in outputs.values() if array.dtype.kind in "fiu"]
    if [a.ndim for a in arrays] != [2, 1, 1] or arrays[0].shape[1] != 4:
        return None
    if len({len(array) for array in arrays}) != 1:
        return None
    good = arrays[1] >= SHOWN
    return Found(*(array[good] for array in arrays))


def mark(pixels: np.ndarray, found: Found | None) -> np.ndarray:
    """A copy of RGB pixels, large enough to be looked at, with the boxes."""
    zoom = max(1, -(-LEAST_SIDE // min(pixels.shape[:2])))
    picture = pixels.repeat(zoom, 0).repeat(zoom, 1)
    for box, number in zip(found.boxes, found.classes, strict=True) if found else ():
        rows, columns = picture.shape[:2]
        limit = [columns - 1, rows - 1] * 2
        left, top, right, bottom = (zoom * box).round().clip(0, limit).astype(int).tolist()
        picture[[top, bottom], left : right + 1] = LIME
        picture[top : bottom + 1, [left, right]] = LIME
        write(picture, str(number), left + 3, top + 3, zoom)
    return picture


def write(picture: np.ndarray, text: str, left: int, top: int, zoom: int) -> None:
    """Writes digits; what lies beyond the edge of the picture is cut."""
    for character in text:
        glyph = GLYPHS[character].repeat(zoom, 0).repeat(zoom, 1)
        place = picture[top : top + glyph.shape[0], left : left + glyph.shape[1]]
        place[glyph[: place.shape[0], : place.shape[1]]] = YELLOW
        left += 4 * zoom
