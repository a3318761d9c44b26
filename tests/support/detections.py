# SPDX-License-Identifier: Apache-2.0
"""How far what a detector found is from what it should have found."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from tests.support.compare import relative_error


def in_any_order(results: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float:
    """Largest relative error of the detections, which may have changed places.

    Every output has a row for each detection. Scores (the floats without further axes) are compared
    where they stand: neighbours whose scores differ by rounding may change places, nothing else.
    Each row of the other outputs is compared with the nearest row of eager that is not taken yet;
    whole numbers have to be equal.
    """
    pairs = list(zip(results, expected, strict=True))
    if any(x.dtype != y.dtype or x.shape != y.shape for x, y in pairs):
        return math.inf
    scores = [relative_error(x, y) for x, y in pairs if y.dim() == 1 and y.is_floating_point()]
    return max([_distance(pairs), *scores])


def _distance(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Largest distance of a detection from the one that it is taken for."""
    count, largest = len(pairs[0][0]), 0.0
    if count == 0:
        return largest
    apart = torch.stack([_distances(x, y) for x, y in pairs]).amax(0)
    for row in range(count):
        distance, place = apart[row].min(0)
        largest = max(largest, float(distance))
        apart[:, place] = math.inf
    return largest


def _distances(result: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """[detections, detections]: of every row from every row, as a share of the greatest element."""
    if not expected.is_floating_point():
        same = (result[:, None] == expected).reshape(len(result), len(expected), -1).all(2)
        return torch.where(same, 0.0, math.inf).double()
    a, b = (x.double().reshape(len(x), -1) for x in (result, expected))
    apart = torch.stack([(row - b).abs().amax(1) for row in a]) / (float(b.abs().max()) or 1.0)
    return torch.where(apart.isnan(), math.inf, apart)
