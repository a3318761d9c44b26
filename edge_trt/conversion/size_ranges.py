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
    return number(found.lower, -math.inf), number(found.upper, math.inf)


def number(bound: Any, unknown: float) -> float:
    """Whole numbers stay such, as reasons print them; torch's infinity says that it is finite."""
    if bound.is_Integer:
        return int(bound)
    return float(bound) if bound.is_finite else unknown


def most(size: Any) -> float:
    """The largest value of a size."""
    return bounds(size)[1]
