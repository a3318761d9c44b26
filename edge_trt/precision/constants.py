# SPDX-License-Identifier: Apache-2.0
"""Which constants float16 can hold."""

from __future__ import annotations

import math

import numpy as np

LARGEST = 65504.0
"""The largest finite float16."""

SAFE_SIZE = 2.0**-10
"""Root mean square from which on the absolute error near zero, 2^-25, does not matter."""

MOST_ERROR = 2.0**-8
"""Largest relative error of a constant as a whole; ordinary rounding gives about 2^-12."""


def misfit(array: np.ndarray, *, added: bool = False) -> str | None:
    """Why float16 can't hold a float32 constant, or None if it can.

    Infinities and NaN are the same in both types. Values below 6e-5 lose digits, which matters
    when the constant has hardly any larger ones: an epsilon, or weights of a tiny scale. It does
    not matter to a bias, which is `added` to larger numbers.
    """
    if array.size == 0:
        return None
    peak = max(abs(float(array.max())), abs(float(array.min())))
    if not math.isfinite(peak):
        array = array[np.isfinite(array)]
        peak = float(np.abs(array).max(initial=0.0))
    if peak > LARGEST:
        return f"a constant reaches {peak:.3g}, beyond float16"
    if added:
        return None
    flat = np.ascontiguousarray(array).reshape(-1)
    norm = math.sqrt(float(np.dot(flat, flat)))
    if norm == 0 or norm > SAFE_SIZE * math.sqrt(flat.size):
        return None
    lost = flat - flat.astype(np.float16).astype(np.float32)
    if math.sqrt(float(np.dot(lost, lost))) <= MOST_ERROR * norm:
        return None
    return f"a constant of about {norm / math.sqrt(flat.size):.2g} loses its digits in float16"
