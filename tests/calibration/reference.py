# SPDX-License-Identifier: Apache-2.0
"""The methods again, as plainly as they can be written: loops over bins and levels."""

from __future__ import annotations

import math

import numpy as np


def squared_error(values: np.ndarray, amax: float) -> float:
    """Sum of squared errors of symmetric int8 with 127 levels."""
    step = amax / 127
    levels = np.clip(np.rint(values / step), -127, 127)
    return float(((levels * step - values) ** 2).sum())


def best_bin(bins: np.ndarray) -> int:
    """The number of bins with the smallest divergence, the last of equal ones."""
    best, found = math.inf, bins.size
    for size in range(128, bins.size + 1):
        divergence = _divergence(bins.astype(float), size)
        if divergence <= best and math.isfinite(divergence):
            best, found = divergence, size
    return found


def _divergence(bins: np.ndarray, size: int) -> float:
    p = bins[:size].copy()
    p[-1] += bins[size:].sum()
    q = expand(bins[:size], 128)
    if not p.sum() or not q.sum():
        return math.inf
    p, q = p / p.sum(), q / q.sum()
    total = 0.0
    for a, b in zip(p, q, strict=True):
        if a > 0:
            if b == 0:
                return math.inf
            total += a * math.log(a / b)
    return total


def expand(bins: np.ndarray, groups: int) -> np.ndarray:
    """Bins merged into groups, each shared evenly over the bins of it that are not empty."""
    result = np.zeros(bins.size)
    for group in range(groups):
        members = [j for j in range(bins.size) if groups * j // bins.size == group and bins[j]]
        for j in members:
            result[j] = sum(bins[k] for k in members) / len(members)
    return result
