# SPDX-License-Identifier: Apache-2.0
"""From a histogram to a range: which magnitude the largest of the 127 levels shall stand for.

Every method takes a `Histogram` and gives `amax`; what is larger will be clipped to it.

============  ====================================================================================
max           nothing is clipped
percentile    all but a fraction of the values fit: 99.99 % of them, or as `percentile:99.9` says
mse           the mean squared error of what is quantized is smallest (default)
entropy       the distribution that is left differs least from the one that was seen: the
              Kullback-Leibler divergence over 2048 bins, from 128 bins up (Migacz, GTC 2017)
entropy2      the same over linear bins that a second pass over the data counted, with half a bin
              added, as TensorRT's EntropyCalibration2 writes it
best          for each tensor the one that leaves least noise at the model's outputs, by running it
============  ====================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_trt_calibration.errors import CalibrationError
from edge_trt_calibration.histogram import Histogram

LEVELS = 127
"""Positive steps of a symmetric int8 number."""

BINS = 2048
"""Linear bins of the entropy methods."""

FIRST_BIN = 128
"""The smallest range that the entropy methods consider, in bins: one bin per level."""

PERCENTILE = 99.99

CANDIDATES = 320
"""Ranges that `mse` tries, evenly spaced in their logarithm, before it looks closer."""

SMALLEST_CANDIDATE = 2.0**-8
"""The smallest of them, relative to the largest magnitude."""

Method = Callable[[Histogram], float]


def method_of(name: str) -> Method:
    """The method of that name.

    Raises:
        CalibrationError: there is none, it needs more than a histogram, or its percentage is none.
    """
    if name in FROM_DATA:
        raise CalibrationError(
            f"the method {name} {FROM_DATA[name]}, and there are histograms alone",
            hint="calibrate on all data at once, or choose another method, such as mse",
        )
    stem, _, argument = name.partition(":")
    if stem == "percentile":
        percentage = _percentage(argument) if argument else PERCENTILE
        return lambda histogram: percentile(histogram, percentage)
    if argument or stem not in METHODS:
        known = ", ".join([*METHODS, *FROM_DATA, "percentile", "percentile:99.9"])
        raise CalibrationError(
            f"there is no calibration method {name!r}", hint=f"choose one of {known}"
        )
    return METHODS[stem]


def _percentage(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value <= 100:
        raise CalibrationError(
            f"a percentile is above 0 and at most 100, not {text!r}", hint="say percentile:99.99"
        )
    return value


def maximum(histogram: Histogram) -> float:
    """The largest magnitude."""
    return histogram.amax


def percentile(histogram: Histogram, percentage: float = PERCENTILE) -> float:
    """The smallest magnitude that `percentage` of the values don't exceed."""
    centres, counts = histogram.levels()
    if not counts.size:
        return 0.0
    below = np.cumsum(counts)
    # Compared as integers where it matters: 100 % is all of them.
    wanted = min(int(np.ceil(below[-1] * (percentage / 100))), int(below[-1]))
    index = int(np.searchsorted(below, wanted))
    return histogram.amax if index == counts.size - 1 else float(centres[index])


def mse(histogram: Histogram) -> float:
    """The range whose mean squared error, of rounding and clipping together, is smallest."""
    amax = histogram.amax
    if amax == 0:
        return 0.0
    errors = SquaredErrors.of(histogram)
    ranges = amax * np.geomspace(SMALLEST_CANDIDATE, 1.0, CANDIDATES)
    best = int(np.argmin(errors(ranges)))
    step = float(SMALLEST_CANDIDATE ** (-1 / (CANDIDATES - 1)))
    close = np.minimum(ranges[best] * np.geomspace(1 / step, step, 17), amax)
    found = errors(close)
    # The largest of equally good ones: it clips least.
    return float(close[np.flatnonzero(found == found.min())[-1]])


@dataclass(frozen=True, slots=True)
class SquaredErrors:
    """Prefix sums over the magnitudes, which give the error of any range at once."""

    centres: np.ndarray
    count: np.ndarray
    total: np.ndarray
    squares: float

    @classmethod
    def of(cls, histogram: Histogram) -> SquaredErrors:
        """The sums of a histogram."""
        centres, counts = histogram.levels()
        weights = counts.astype(np.float64)
        zero = np.zeros(1)
        return cls(
            centres,
            np.concatenate([zero, np.cumsum(weights)]),
            np.concatenate([zero, np.cumsum(weights * centres)]),
            float(np.dot(weights, centres * centres)),
        )

    def __call__(self, ranges: np.ndarray) -> np.ndarray:
        """The sum of squared errors when `ranges[i]` is the largest level.

        A magnitude between (k - 1/2) and (k + 1/2) steps becomes k steps; with S0 and S1 the
        count and the sum of those, the error is sum(c^2) - 2 s sum(k S1) + s^2 sum(k^2 S0). Both
        sums are over all boundaries that a magnitude lies above.
        """
        steps = ranges / LEVELS
        level = np.arange(1, LEVELS + 1)
        at = np.searchsorted(self.centres, np.outer(steps, level - 0.5), side="right")
        above = self.count[-1] - self.count[at]
        first = (self.total[-1] - self.total[at]).sum(axis=1)
        second = above @ (2.0 * level - 1)
        return self.squares - 2 * steps * first + steps * steps * second


def entropy(histogram: Histogram) -> float:
    """The divergence method over linear bins made of the histogram's buckets."""
    if histogram.amax == 0:
        return 0.0
    return best_bin(_without_zeros(linear(histogram))) * histogram.amax / BINS


def entropy2(bins: np.ndarray, amax: float) -> float:
    """The divergence method as TensorRT's calibrator does it.

    Args:
        bins: counts of |x| in `BINS` bins over [0, amax].
        amax: the largest magnitude.
    """
    kept = _without_zeros(bins.astype(np.float64))
    return (best_bin(kept) + 0.5) * amax / BINS if amax else 0.0


def _without_zeros(bins: np.ndarray) -> np.ndarray:
    """Zeros are exact at any scale, and after a ReLU half of all values: they say nothing."""
    return np.concatenate([bins[1:2], bins[1:]])


def linear(histogram: Histogram) -> np.ndarray:
    """Counts in `BINS` equal bins over [0, amax], float64; a bucket falls where its centre lies."""
    centres, counts = histogram.levels()
    index = np.minimum((centres * (BINS / histogram.amax)).astype(np.int64), BINS - 1)
    return np.bincount(index, weights=counts, minlength=BINS)


def best_bin(bins: np.ndarray) -> int:
    """How many bins a range should have so that 128 levels tell most about it.

    For i bins, P is their counts, with all that lies beyond added to the last one; Q is the same
    counts, without the rest, merged into 128 groups and shared out evenly over each group's bins
    that are not empty. All i from 128 on are tried, by prefix sums; among equals the last wins.

    Returns:
        The number of bins; all of them where no range is better than another.
    """
    divergence = _divergences(bins)
    smallest = divergence.min()
    if not np.isfinite(smallest):
        return bins.size
    return FIRST_BIN + int(np.flatnonzero(divergence == smallest)[-1])


def _divergences(bins: np.ndarray) -> np.ndarray:
    """KL(P || Q) for every number of bins from `FIRST_BIN` on, infinite where Q lacks a bin."""
    sizes = np.arange(FIRST_BIN, bins.size + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.where(bins > 0, bins * np.log(bins), 0.0)
        count, filled, logs = (np.concatenate([[0.0], np.cumsum(x)]) for x in (bins, bins > 0, own))
        # Bin j of i belongs to group floor(128 j / i).
        bounds = -(-np.outer(sizes, np.arange(FIRST_BIN + 1)) // FIRST_BIN)
        group = np.diff(count[bounds])
        share = np.where(group > 0, np.log(group / np.diff(filled[bounds])), 0.0)
        last = bins[sizes - 1]
        beyond = count[-1] - count[sizes]
        end = last + beyond
        entropies = logs[sizes - 1] + np.where(end > 0, end * np.log(end), 0.0)
        crossed = (group * share).sum(axis=1) + beyond * share[:, -1]
        found = (entropies - crossed) / count[-1] + np.log(count[sizes] / count[-1])
    return np.where(((last == 0) & (beyond > 0)) | (count[sizes] == 0), np.inf, found)


METHODS: dict[str, Method] = {"max": maximum, "mse": mse, "entropy": entropy}
"""Methods that need a histogram and nothing else, besides the percentile."""

FROM_DATA = {"entropy2": "reads the data a second time", "best": "runs the quantized model"}
"""Methods that a histogram is not enough for, and what else they do."""
