# SPDX-License-Identifier: Apache-2.0
"""How often a tensor had which magnitude, counted without knowing its range in advance.

The bits of a positive float32 order like the number itself, so their upper part is a bucket: 2048
for every power of two, from denormal numbers up to the largest, a relative width of 2^-11 to 2^-12.
Nothing grows, nothing is re-binned, and two histograms merge by adding integers: the result does
not depend on the order of the data, on batch sizes, or on how many machines looked at it.

    histogram = Histogram()
    for batch in batches:
        histogram.add(batch)
    centres, counts = histogram.levels()
"""

from __future__ import annotations

import base64
import binascii
import mmap
import zlib
from typing import Any

import numpy as np

from edge_trt_calibration.errors import CalibrationError

SHIFT = 12
"""Bits of a float32 that a bucket leaves open."""

BUCKETS = 0x7F800000 >> SHIFT
"""All finite magnitudes: 4 MB of counts, of which only the pages that are used take memory."""

_MAGNITUDE = np.uint32(0x7FFFFFFF)
_BLOCK = 1 << 16  # elements whose bits stay in the cache between the three steps


class Histogram:
    """Counts of |x|, with the exact extremes. NaN and infinities are counted apart.

    Attributes:
        counts: int64, one per bucket.
        low, high: the smallest and the largest finite value; `inf` and `-inf` before the first.
        nan, infinite: how many values were no number, or no finite one.
    """

    __slots__ = ("_levels", "counts", "high", "infinite", "low", "nan")

    def __init__(self) -> None:
        self.counts: np.ndarray = _zeros()
        self.low = float("inf")
        self.high = float("-inf")
        self.nan = 0
        self.infinite = 0
        self._levels: tuple[np.ndarray, np.ndarray] | None = None

    def add(self, values: np.ndarray) -> None:
        """Counts the elements of an array of any shape, seen as float32."""
        flat = np.ascontiguousarray(values, np.float32).reshape(-1)
        if not flat.size:
            return
        low, high = float(flat.min()), float(flat.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            finite = np.isfinite(flat)
            nan = int(np.count_nonzero(np.isnan(flat)))
            self.nan += nan
            self.infinite += int(flat.size - np.count_nonzero(finite)) - nan
            self.add(flat[finite])
            return
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.forget()
        bits = flat.view(np.uint32)
        bucket = np.empty(min(_BLOCK, flat.size), np.uint32)
        for start in range(0, flat.size, _BLOCK):
            block = bits[start : start + _BLOCK]
            index = bucket[: block.size]
            np.bitwise_and(block, _MAGNITUDE, out=index)
            np.right_shift(index, SHIFT, out=index)
            np.add.at(self.counts, index, 1)

    def merge(self, other: Histogram) -> None:
        """Adds what another one counted."""
        self.forget()
        self.counts += other.counts
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.nan += other.nan
        self.infinite += other.infinite

    @property
    def amax(self) -> float:
        """The largest finite magnitude, exactly; 0 if there is none."""
        return max(-self.low, self.high, 0.0)

    @property
    def total(self) -> int:
        """How many finite values were counted."""
        return int(self.counts.sum())

    def levels(self) -> tuple[np.ndarray, np.ndarray]:
        """The magnitudes that occurred, as centres of their buckets, and how often each did.

        They are kept until more is added, or `forget` is called: to find them is to look through
        all buckets, and a method with what it costs asks for them several times.

        Returns:
            Two arrays of one length, float64 ascending and int64.
        """
        if self._levels is None:
            self._levels = self._found()
        return self._levels

    def forget(self) -> None:
        """Gives back the memory of the levels."""
        self._levels = None

    def _found(self) -> tuple[np.ndarray, np.ndarray]:
        # What lies above the largest is half of all buckets for most tensors.
        top = int(np.float32(self.amax).view(np.uint32)) >> SHIFT
        used = np.flatnonzero(self.counts[: top + 1])
        low, high = edges(used)
        # The last bucket's centre may lie above all that was seen.
        return np.minimum((low + high) / 2, self.amax), self.counts[used]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        mine = (self.low, self.high, self.nan, self.infinite)
        its = (other.low, other.high, other.nan, other.infinite)
        return mine == its and np.array_equal(self.counts, other.counts)

    __hash__ = None  # type: ignore[assignment]  # it changes

    # -- on disk -----------------------------------------------------------------------------

    def as_dict(self, shift: int = SHIFT) -> dict[str, Any]:
        """JSON values; a larger `shift` gives a coarser and smaller form, which can't be merged.

        The counts are pairs (distance to the bucket before, count), int64, compressed, in base64.
        """
        counts = self.counts
        if shift > SHIFT:
            counts = np.add.reduceat(counts, np.arange(0, BUCKETS, 1 << (shift - SHIFT)))
        used = np.flatnonzero(counts)
        pairs = np.concatenate([np.diff(used, prepend=0), counts[used]]).astype("<i8")
        return {
            "shift": shift,
            "low": self.low if self.low <= self.high else None,
            "high": self.high if self.low <= self.high else None,
            "nan": self.nan,
            "infinite": self.infinite,
            "counts": base64.b64encode(zlib.compress(pairs.tobytes(), 6)).decode(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Histogram:
        """The histogram that `as_dict` wrote; a coarser one has its counts in the middles.

        Raises:
            CalibrationError: the values are not those of a histogram.
        """
        try:
            pairs = np.frombuffer(zlib.decompress(base64.b64decode(values["counts"])), "<i8")
            histogram = cls()
            distances, counts = pairs.reshape(2, -1)
            scale = int(values["shift"]) - SHIFT
            middle = (1 << scale) >> 1
            histogram.counts[(np.cumsum(distances) << scale) + middle] = counts
            if values["low"] is not None:
                histogram.low, histogram.high = float(values["low"]), float(values["high"])
            histogram.nan, histogram.infinite = int(values["nan"]), int(values["infinite"])
        except (KeyError, TypeError, ValueError, IndexError, binascii.Error, zlib.error) as error:
            raise CalibrationError(f"a histogram can't be read ({error})") from error
        return histogram


def _zeros() -> np.ndarray:
    """Counts of nothing, straight from the system: pages take memory when they are first written.

    `numpy.zeros` does so only as long as the C library has nothing to reuse, which it would clear:
    that was 4 MB for each tensor beside a running model.
    """
    size = BUCKETS * np.dtype(np.int64).itemsize
    # Where memory is not told to be private it would be shared, and taken when it is read.
    private = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0)
    pages = mmap.mmap(-1, size, flags=private) if private else mmap.mmap(-1, size)
    return np.frombuffer(pages, np.int64)


def edges(buckets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The magnitudes, float64, between which each bucket lies."""
    low = (buckets.astype(np.uint32) << SHIFT).view(np.float32).astype(np.float64)
    high = np.minimum(
        ((buckets + 1).astype(np.uint32) << SHIFT).view(np.float32).astype(np.float64),
        float(np.finfo(np.float32).max),
    )
    return low, high
