# SPDX-License-Identifier: Apache-2.0
"""Detections whose scores differ by rounding have no order, in PyTorch neither."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

Arrays = Sequence[np.ndarray]


def in_order(got: Arrays, expected: Arrays, tolerance: float) -> list[np.ndarray]:
    """`got` with the rows that tie in the order of `expected`, if it is a table of detections.

    It is one where an output is a list of scores, the best first; every output with as many rows
    belongs to it. Only rows whose scores are within `tolerance` of the best change places.
    """
    scores = next(filter(_are_scores, expected), None)
    if scores is None or [a.shape for a in got] != [a.shape for a in expected]:
        return list(got)
    count = len(scores)
    columns = [(a, b) for a, b in zip(got, expected, strict=True) if a.ndim and len(a) == count]
    order = np.arange(count)
    for run in _runs(scores, tolerance * float(np.abs(scores).max())):
        order[run] = run.start + _nearest([(a[run], b[run]) for a, b in columns])
    return [a[order] if a.ndim and len(a) == count else a for a in got]


def _are_scores(values: np.ndarray) -> bool:
    falling = values.ndim == 1 and values.dtype.kind == "f" and len(values) > 1
    return falling and bool(np.all(np.isfinite(values)) and np.all(np.diff(values) <= 0))


def _runs(scores: np.ndarray, close: float) -> Iterator[slice]:
    """Where neighbours tie."""
    ends = np.flatnonzero(np.diff(scores) < -close) + 1
    bounds = [0, *ends.tolist(), len(scores)]
    return (slice(a, b) for a, b in pairwise(bounds) if b - a > 1)


def _nearest(columns: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The row of the first arrays for every row of the second, each taken once."""
    count = len(columns[0][0])
    apart = np.zeros((count, count))
    for got, expected in columns:
        a, b = (x.reshape(count, -1).astype(np.float64) for x in (got, expected))
        apart += np.stack([np.abs(a - row).max(axis=1, initial=0.0) for row in b])
    rows = np.empty(count, np.intp)
    for row in range(count):
        rows[row] = apart[row].argmin()
        apart[:, rows[row]] = np.inf
    return rows
