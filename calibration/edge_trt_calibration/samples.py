# SPDX-License-Identifier: Apache-2.0
"""What calibration notices about the samples themselves, while they pass by."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from edge_trt_calibration.ranges import Source

FEW = 100
"""Samples below which a remark says that the ranges may move."""

_BYTES = 255


@dataclass(slots=True)
class Samples:
    """Counts samples, and remembers enough of them to tell duplicates and odd data.

    A sample is a row of the first axis where all inputs have the same number of them, otherwise
    a whole batch.

    Attributes:
        count: how many there were.
        duplicates: how many of them repeat others.
        pixels: names of inputs that are images with values from 0 to 255.
        states: names of inputs that are states, which may well be the same in all samples.
    """

    count: int = 0
    duplicates: int = 0
    pixels: Collection[str] = ()
    states: Collection[str] = ()
    _digests: set[int] = field(default_factory=set[int])
    _total: int = 0
    _low: dict[str, float] = field(default_factory=dict[str, float])
    _high: dict[str, float] = field(default_factory=dict[str, float])
    _whole: dict[str, bool] = field(default_factory=dict[str, bool])

    def add(self, feed: Mapping[str, np.ndarray]) -> None:
        """Looks at one batch."""
        for rows in _rows(feed):
            digest = _digest(rows)
            self.count += 1
            self.duplicates += digest in self._digests
            self._digests.add(digest)
            self._total = (self._total + digest) % (1 << 128)
        for name, array in feed.items():
            if name in self.states:
                continue
            if not array.size or (array.dtype.kind != "f" and name not in self.pixels):
                continue
            self._low[name] = min(self._low.get(name, np.inf), float(array.min()))
            self._high[name] = max(self._high.get(name, -np.inf), float(array.max()))
            if self._whole.get(name, True):
                self._whole[name] = bool((array == np.rint(array)).all())

    @property
    def source(self) -> Source:
        """How many samples, and their digest, whatever the order was."""
        return Source(self.count, f"{self._total:032x}")

    def remarks(self) -> list[str]:
        """A sentence for everything that makes the ranges doubtful."""
        found: list[str] = []
        if self.count < FEW:
            plural = "" if self.count == 1 else "s"
            found.append(
                f"{self.count} sample{plural} set the ranges: use at least {FEW}, 512 are usual"
            )
        if self.duplicates:
            found.append(f"{self.duplicates} of {self.count} samples are repetitions of others")
        for name, low in self._low.items():
            high = self._high[name]
            if low == high:
                found.append(f"input {name} is {low:g} in all samples: is the data loaded?")
            elif name in self.pixels:
                if high <= 1:
                    found.append(
                        f"input {name} holds {low:g} to {high:g}, and the model takes pixels from "
                        "0 to 255: are they divided already?"
                    )
            elif self._whole[name] and low >= 0 and 1 < high <= _BYTES and high > _BYTES / 2:
                found.append(
                    f"input {name} holds whole numbers from {low:g} to {high:g}: is the "
                    "normalization of the training missing?"
                )
        return found


def _rows(feed: Mapping[str, np.ndarray]) -> Iterator[list[np.ndarray]]:
    arrays = list(feed.values())
    counts = {len(array) if array.ndim else 0 for array in arrays}
    if len(counts) != 1 or 0 in counts:
        yield arrays
        return
    for i in range(counts.pop()):
        yield [array[i] for array in arrays]


def _digest(arrays: list[np.ndarray]) -> int:
    state = hashlib.blake2b(digest_size=16)
    for array in arrays:
        state.update(np.ascontiguousarray(array).data)
    return int.from_bytes(state.digest(), "big")
