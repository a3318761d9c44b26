# SPDX-License-Identifier: Apache-2.0
"""Boxes on canvases, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from canvases import Canvas
from model import SIZE
from PIL import Image, ImageDraw
from scoring import Found

COLUMNS, ZOOM, SHOWN = 4, 2, 0.5


def draw(canvases: Sequence[Canvas], found: Sequence[Found], file: Path) -> None:
    """Writes the canvases side by side, with the boxes whose score is at least SHOWN."""
    side = SIZE * ZOOM
    sheet = Image.new("RGB", (COLUMNS * side, -(-len(canvases) // COLUMNS) * side))
    pencil = ImageDraw.Draw(sheet)
    for i, (canvas, boxes) in enumerate(zip(canvases, found, strict=True)):
        left, top = i % COLUMNS * side, i // COLUMNS * side
        sheet.paste(Image.fromarray(canvas.pixels).resize((side, side)), (left, top))
        pencil.rectangle((left, top, left + side - 1, top + side - 1), outline="gray")
        for box, score, digit in zip(*boxes, strict=True):
            if score >= SHOWN:
                x0, y0, x1, y1 = (ZOOM * box).tolist()
                pencil.rectangle((left + x0, top + y0, left + x1, top + y1), outline="lime")
                pencil.text((left + x0 + 3, top + y0 + 1), f"{digit} ({score:.0%})", fill="yellow")
    sheet.save(file)
