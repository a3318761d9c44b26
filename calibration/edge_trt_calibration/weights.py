# SPDX-License-Identifier: Apache-2.0
"""Scales of weights, one per output channel, and the numbers that are left of them.

Weights use the levels -127 to 127: without -128 a weight and its negative cost the same.
"""

from __future__ import annotations

import numpy as np

from edge_trt_calibration.errors import CalibrationError
from edge_trt_calibration.methods import LEVELS

SMALLEST_CHANNEL = 0.01
"""Range of an all-zero channel, relative to the largest: any positive number would do."""

RATIOS = np.geomspace(0.6, 1.0, 25)
"""Ranges that `mse` tries, relative to each channel's largest weight."""

METHODS = ("max", "mse")


def weight_scales(weights: np.ndarray, axis: int | None, method: str = "max") -> np.ndarray:
    """The step between two levels, for every channel.

    Args:
        weights: float array.
        axis: the channels' axis; None for one scale for all.
        method: `max` clips nothing, `mse` has the smallest squared error per channel.

    Returns:
        float32, 1-d along `axis`, or 0-d.

    Raises:
        CalibrationError: there is no such method, or a weight is not finite.
    """
    if method not in METHODS:
        raise CalibrationError(
            f"there is no method {method!r} for weights", hint=f"choose {' or '.join(METHODS)}"
        )
    rows = _rows(weights, axis)
    largest = np.abs(rows).max(axis=1, initial=0.0).astype(np.float64)
    if not np.isfinite(largest).all():
        raise CalibrationError(f"{int((~np.isfinite(largest)).sum())} channels are not finite")
    top = float(largest.max(initial=0.0))
    largest[largest == 0] = SMALLEST_CHANNEL * top or 1.0
    if method == "mse":
        largest *= _best_ratios(rows, largest)
    # A scale that float32 rounds to zero is none.
    tiny = float(np.finfo(np.float32).tiny)
    scales = np.maximum(largest / LEVELS, tiny).astype(np.float32)
    return scales.reshape(()) if axis is None else scales


def quantize(weights: np.ndarray, scales: np.ndarray, axis: int | None) -> np.ndarray:
    """The nearest levels, int8 in the shape of the weights; halves go to the even level."""
    steps = along(scales, axis, weights.ndim)
    return np.clip(np.rint(weights / steps), -LEVELS, LEVELS).astype(np.int8)


def along(scales: np.ndarray, axis: int | None, rank: int) -> np.ndarray:
    """Scales in a shape that broadcasts against an array of that rank."""
    if axis is None:
        return scales.reshape((1,) * rank)
    return scales.reshape([-1 if i == axis else 1 for i in range(rank)])


def _rows(weights: np.ndarray, axis: int | None) -> np.ndarray:
    """One row for each channel."""
    if axis is None:
        return weights.reshape(1, -1)
    return np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)


def _best_ratios(rows: np.ndarray, largest: np.ndarray) -> np.ndarray:
    errors = np.empty((len(RATIOS), len(rows)))
    for i, ratio in enumerate(RATIOS):
        scales = (largest * ratio / LEVELS).astype(rows.dtype)[:, None]
        lost = rows - np.clip(np.rint(rows / scales), -LEVELS, LEVELS) * scales
        errors[i] = np.einsum("ij,ij->i", lost, lost)
    # Of equally good ones the largest, which clips least.
    return RATIOS[::-1][np.argmin(errors[::-1], axis=0)]
