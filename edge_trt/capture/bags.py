# SPDX-License-Identifier: Apache-2.0
"""Bags of one size, a row of indices each: torch makes a list of them and of where each begins."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Generator

_MODES = ("sum", "mean", "max")
_own = F.embedding_bag


@contextmanager
def even_bags() -> Generator[None]:
    """While an export runs, reduce bags of one size along an axis, without comparing places."""
    with patch.object(F, "embedding_bag", _embedding_bag):
        yield


def _embedding_bag(
    input: torch.Tensor,
    weight: torch.Tensor,
    offsets: torch.Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: torch.Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> torch.Tensor:
    weighted = per_sample_weights is not None
    even = offsets is None and max_norm is None and not include_last_offset and mode in _MODES
    even = even and not (weighted and (mode != "sum" or per_sample_weights.shape != input.shape))
    if not even or input.dim() != 2 or input.shape[1] == 0:
        return _own(
            input, weight, offsets, max_norm, norm_type, scale_grad_by_freq, mode, sparse,
            per_sample_weights, include_last_offset, padding_idx,
        )  # fmt: skip
    found: Any = F.embedding(input, weight)
    if weighted:
        found = found * per_sample_weights.unsqueeze(2)
    if padding_idx is None:
        return {"sum": found.sum, "mean": found.mean, "max": found.amax}[mode](1)
    counted = (input != padding_idx % len(weight)).unsqueeze(2)
    if mode == "max":
        highest = torch.where(counted, found, -math.inf).amax(1)
        return torch.where(counted.any(1), highest, 0.0)
    total = torch.where(counted, found, 0.0).sum(1)
    return total / counted.sum(1).clamp(min=1) if mode == "mean" else total
