# SPDX-License-Identifier: Apache-2.0
"""Distances between all pairs of rows, from all differences at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from edge_trt.conversion.size_ranges import most
from edge_trt.lowering.edit import aten

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 1 << 24
"""Most differences: all of them are in memory."""
ROWS = 64
"""Most rows of one tensor whose distances to each other are picked from the square of all."""


def _cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: Any = None) -> Any:
    """Differences, where PyTorch multiplies for many rows: the same, and exact for close ones."""
    del compute_mode  # how PyTorch computes it, not what
    batch = torch.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    sizes = (*batch, x1.shape[-2], x2.shape[-2], x1.shape[-1])
    if math.prod(map(most, sizes)) > LIMIT:
        return NotImplemented
    return _norm(torch.abs(x1.unsqueeze(-2) - x2.unsqueeze(-3)), p)


def _norm(apart: Any, p: float) -> Any:
    if p == 0:
        return (apart != 0).to(apart.dtype).sum(-1)
    if p == 1:
        return apart.sum(-1)
    if p == 2:
        return torch.sqrt((apart * apart).sum(-1))
    if p == math.inf:
        return apart.amax(-1)
    return torch.pow(torch.pow(apart, p).sum(-1), 1 / p)


def _pdist(self: Any, p: float = 2.0) -> Any:
    """The part of the square above its diagonal, row after row."""
    count = self.shape[0]
    if not isinstance(count, int) or not 2 <= count <= ROWS:
        return NotImplemented
    square = _cdist(self, self, p)
    if square is NotImplemented:
        return NotImplemented
    return torch.cat([square[i, i + 1 :] for i in range(count - 1)])


DISTANCES: dict[Any, Callable[..., Any]] = {
    aten.cdist.default: _cdist,
    aten._cdist_forward.default: _cdist,
    aten.pdist.default: _pdist,
    aten._pdist_forward.default: _pdist,
}
