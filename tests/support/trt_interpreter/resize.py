# SPDX-License-Identifier: Apache-2.0
"""Resizing, one dimension after the other.

Coordinates are kept as exact fractions of integers, so that a nearest neighbour on the edge
between two elements never depends on rounding errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import torch

from tests.support.trt_interpreter.call import Call

HALF = Fraction(1, 2)

TRANSFORMATIONS: dict[str, Callable[[int, int, int], Fraction]] = {
    # place in the output, size of the input, size of the output -> place in the input
    "ALIGN_CORNERS": lambda x, old, new: Fraction(x * (old - 1), max(new - 1, 1)),
    "ASYMMETRIC": lambda x, old, new: Fraction(x * old, new),
    "HALF_PIXEL": lambda x, old, new: (x + HALF) * Fraction(old, new) - HALF,
}

ROUNDINGS: dict[str, Callable[[Fraction], int]] = {
    "HALF_UP": lambda x: math.floor(x + HALF),
    "HALF_DOWN": lambda x: math.ceil(x - HALF),
    "FLOOR": math.floor,
    "CEIL": math.ceil,
}


def resize(call: Call) -> torch.Tensor:
    x = call.input
    for axis, new in enumerate(_sizes(call)):
        if new != x.shape[axis]:
            places, weights = _taps(call, x.shape[axis], new)
            x = _resampled(x, axis, places, weights)
    return x


def _sizes(call: Call) -> list[int]:
    if call.has(1):
        return call.sizes(1)
    shape, scales = call.dims("shape"), list(call.layer.scales)
    if not scales and shape is not None:
        return shape
    if len(scales) != call.input.ndim:
        raise call.unsupported(f"shape {shape} and scales {scales}")
    exact = [size * scale for size, scale in zip(call.input.shape, scales, strict=True)]
    if any(not float(size).is_integer() for size in exact):
        # sizes over sizes, as documented, and the scale itself differ here
        raise call.unsupported(f"scales {scales} of {list(call.input.shape)} are not exact")
    return [int(size) for size in exact]


def _taps(call: Call, old: int, new: int) -> tuple[torch.Tensor, torch.Tensor]:
    """For each output place, the input places it is made of, and their weights: [new, taps]."""
    transform = TRANSFORMATIONS[call.enum("coordinate_transformation")]
    upper = call.enum("selector_for_single_pixel") == "UPPER" and new == 1
    places = [Fraction(0) if upper else transform(x, old, new) for x in range(new)]
    mode = call.enum("resize_mode")
    if mode == "NEAREST":
        rounding = ROUNDINGS[call.enum("nearest_rounding")]
        taps = [[(rounding(place), 1.0)] for place in places]
    elif mode == "LINEAR":
        taps = [_linear(min(max(place, Fraction(0)), Fraction(old - 1))) for place in places]
    elif mode == "CUBIC":
        taps = [_cubic(call, place, old) for place in places]
    else:
        raise call.unsupported(f"mode {mode}")
    picked = torch.tensor([[place for place, _ in row] for row in taps])
    weights = torch.tensor([[weight for _, weight in row] for row in taps], dtype=torch.float32)
    return picked.clamp(0, old - 1), weights


def _linear(place: Fraction) -> list[tuple[int, float]]:
    low = math.floor(place)
    return [(low, float(1 - (place - low))), (low + 1, float(place - low))]


def _cubic(call: Call, place: Fraction, old: int) -> list[tuple[int, float]]:
    a, low = call.layer.cubic_coeff, math.floor(place)
    row: list[tuple[int, float]] = []
    for tap in range(low - 1, low + 3):
        t = abs(float(place - tap))
        near = ((a + 2) * t - (a + 3)) * t * t + 1
        far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
        row.append((tap, near if t <= 1 else far))
    if not call.layer.exclude_outside:
        return row
    kept = [(tap, weight if 0 <= tap < old else 0.0) for tap, weight in row]
    total = sum(weight for _, weight in kept)
    return [(tap, weight / total) for tap, weight in kept]


def _resampled(
    x: torch.Tensor, axis: int, places: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    shape = [-1 if i == axis else 1 for i in range(x.ndim)]
    if places.shape[1] == 1:
        return x.index_select(axis, places[:, 0])
    parts = (
        x.index_select(axis, places[:, tap]) * weights[:, tap].reshape(shape)
        for tap in range(places.shape[1])
    )
    return torch.stack(list(parts)).sum(0)
