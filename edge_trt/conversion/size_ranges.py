# SPDX-License-Identifier: Apache-2.0
"""What torch.export knows of the values of a symbolic size."""

from __future__ import annotations

import math
from typing import Any


def bounds(size: Any) -> tuple[float, float]:
    """The least and the largest value of a size, infinite where nothing is known."""
    if isinstance(size, (int, float)):
        return size, size
    found = size.node.shape_env.bound_sympy(size.node.expr)
    # Whole numbers stay such: reasons print them.
    low, high = (int(b) if b.is_finite else None for b in (found.lower, found.upper))
    return (-math.inf if low is None else low), (math.inf if high is None else high)


def most(size: Any) -> float:
    """The largest value of a size."""
    return bounds(size)[1]
