# SPDX-License-Identifier: Apache-2.0
"""Histograms with their ranges as pictures, one PNG for each tensor; drawn by Pillow."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from edge_trt.errors import EdgeTrtError
from edge_trt_calibration import Histogram, Ranges, TensorRange
from edge_trt_calibration.histogram import SHIFT
from edge_trt_calibration.histogram import edges as bucket_edges
from edge_trt_calibration.ranges import COARSE

WIDTH, HEIGHT, MARGIN = 640, 320, 40
BAR, LINE, TEXT = (90, 130, 180), (200, 40, 40), (30, 30, 30)


def plot_ranges(ranges: Ranges, folder: str) -> int:
    """Draws every tensor that has a histogram; returns how many.

    Raises:
        EdgeTrtError: the folder can't be made.
    """
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgeTrtError(f"{folder} can't be made: {error.strerror}") from error
    for name, histogram in ranges.histograms.items():
        picture = _picture(name, histogram, ranges.tensors[name], coarse=ranges.coarse)
        stem = re.sub(r"[^\w.-]", "_", name)
        picture.save(place / f"{stem}.png")
    return len(ranges.histograms)


def counts_between(edges: np.ndarray, histogram: Histogram, *, coarse: bool) -> np.ndarray:
    """How many magnitudes lie between neighbours of an ascending array.

    The values of a bucket are taken to be spread evenly over it: most are wider than a column of a
    picture, or narrower by no whole number.

    Args:
        edges: magnitudes, from 0 on.
        histogram: what was counted.
        coarse: whether the histogram is that of a bundle, whose buckets are wider.
    """
    width = 1 << (COARSE - SHIFT) if coarse else 1
    used = np.flatnonzero(histogram.counts)
    if not used.size:
        return np.zeros(len(edges) - 1)
    first = used // width * width
    low, high = bucket_edges(first)[0], bucket_edges(first + width - 1)[1]
    # Nothing lies above the largest value, though its bucket may go on.
    high = np.maximum(np.minimum(high, histogram.amax), low)
    after = np.cumsum(histogram.counts[used])
    before = after - histogram.counts[used]
    places = np.stack([low, high], axis=1).reshape(-1)
    below = np.interp(edges, places, np.stack([before, after], axis=1).reshape(-1))
    # Also where the last bucket has no width.
    below[edges >= histogram.amax] = after[-1]
    below[0] = 0
    return np.diff(below)


def _picture(name: str, histogram: Histogram, chosen: TensorRange, *, coarse: bool) -> Image.Image:
    """Counts over the magnitude, the counts on a logarithmic scale, and the range as a line."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    columns, bottom = WIDTH - 2 * MARGIN, HEIGHT - MARGIN
    top = max(histogram.amax, chosen.amax) or 1.0
    edges = np.linspace(0, top, columns + 1)
    heights = np.log1p(counts_between(edges, histogram, coarse=coarse))
    heights *= (bottom - MARGIN) / max(float(heights.max(initial=0.0)), 1e-9)
    for x, height in enumerate(heights):
        if height > 0:
            draw.line([(MARGIN + x, bottom), (MARGIN + x, bottom - height)], fill=BAR)
    x = MARGIN + columns * chosen.amax / top
    draw.line([(x, MARGIN), (x, bottom)], fill=LINE, width=2)
    draw.line([(MARGIN, bottom), (WIDTH - MARGIN, bottom)], fill=TEXT)
    draw.text((MARGIN, 10), f"{name}: {chosen.method}, {chosen.amax:.5g}", fill=TEXT)
    draw.text((MARGIN, bottom + 8), "0", fill=TEXT)
    draw.text((WIDTH - 2 * MARGIN, bottom + 8), f"{top:.5g}", fill=TEXT)
    return image
