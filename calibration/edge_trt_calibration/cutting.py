# SPDX-License-Identifier: Apache-2.0
"""Cuts batches into pieces that a model's first axis takes.

What a model of one size, or of a smallest size, leaves over is joined to the next batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edge_trt_calibration.inputs import Feed, InputSpec


def rows_of(feed: Feed) -> int | None:
    """The samples of a batch, or None where its arrays don't have the same number of rows."""
    counts = {len(array) if array.ndim else None for array in feed.values()}
    return counts.pop() if len(counts) == 1 else None


class Cutter:
    """Pieces of the batches of one pass.

    Attributes:
        left: what is left over so far, which has to wait for more.
        dropped: samples that no batch of the same sizes came for.
    """

    def __init__(self, inputs: Sequence[InputSpec]) -> None:
        firsts = {spec.shape[0] if spec.shape else None for spec in inputs}
        size = firsts.pop() if len(firsts) == 1 else None
        self._range = (size, size) if isinstance(size, int) else size
        self.left: Feed | None = None
        self.dropped = 0

    def pieces(self, feed: Feed) -> Iterator[Feed]:
        """What the model takes now; a batch whose inputs don't share their rows stays whole."""
        count = rows_of(feed)
        if self._range is None or count is None:
            yield feed
            return
        if self.left is not None:
            feed, count = self._joined(self.left, feed)
            self.left = None
        start = 0
        for size in _sizes(count, *self._range):
            yield {name: array[start : start + size] for name, array in feed.items()}
            start += size
        if start < count:
            self.left = {name: array[start:] for name, array in feed.items()}

    def filled(self) -> tuple[Feed, int]:
        """What is left over with its last sample repeated, and how often it is."""
        assert self.left is not None
        assert self._range is not None
        missing = self._range[0] - (rows_of(self.left) or 0)
        feed = {
            name: np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
            for name, array in self.left.items()
        }
        self.left = None
        return feed, missing

    def _joined(self, left: Feed, feed: Feed) -> tuple[Feed, int]:
        if any(left[name].shape[1:] != array.shape[1:] for name, array in feed.items()):
            self.dropped += rows_of(left) or 0
        else:
            feed = {name: np.concatenate([left[name], array]) for name, array in feed.items()}
        return feed, rows_of(feed) or 0


def _sizes(count: int, low: int, high: int) -> list[int]:
    """As few pieces as possible; even ones where the last would be too small."""
    whole, rest = divmod(count, max(high, 1))
    if rest >= max(low, 1):
        return [*[high] * whole, rest]
    parts = whole + 1
    if rest and count // parts >= low:
        return [count // parts + (i < count % parts) for i in range(parts)]
    return [high] * whole
