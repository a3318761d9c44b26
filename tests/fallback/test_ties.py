# SPDX-License-Identifier: Apache-2.0
"""Detections change places only where their scores tie."""

from __future__ import annotations

import numpy as np

from edge_trt.fallback.ties import in_order

SCORES = np.array([0.9, 0.5, 0.5 - 2e-6, 0.5 - 4e-6, 0.1], np.float32)
LABELS = np.array([1, 2, 3, 4, 5])
BOXES = np.arange(20, dtype=np.float32).reshape(5, 4)
EXPECTED = [BOXES, SCORES, LABELS, np.zeros((2, 2))]


def ordered(order: list[int]) -> list[np.ndarray]:
    got = [*(a[order] for a in EXPECTED[:3]), EXPECTED[3]]
    return in_order(got, EXPECTED, 1e-4)


def test_rows_that_tie_are_brought_into_order() -> None:
    for got, expected in zip(ordered([0, 3, 1, 2, 4]), EXPECTED, strict=True):
        assert np.array_equal(got, expected)


def test_other_rows_stay_where_they_are() -> None:
    assert ordered([4, 1, 2, 3, 0])[2].tolist() == [5, 2, 3, 4, 1]
    first, *_, last = ordered([1, 0, 2, 3, 4])[2].tolist()
    assert (first, last) == (2, 5)


def test_a_wrong_row_stays_wrong() -> None:
    got = [BOXES.copy(), SCORES, LABELS]
    got[0][2] += 100
    assert np.abs(in_order(got, EXPECTED[:3], 1e-4)[0] - BOXES).max() > 90


def test_what_has_no_falling_scores_is_left_alone() -> None:
    got = [BOXES[::-1], LABELS[::-1]]
    assert np.array_equal(in_order(got, [BOXES, LABELS], 1e-4)[1], LABELS[::-1])
    rising = [SCORES[::-1].copy(), LABELS]
    assert np.array_equal(in_order([rising[0], LABELS[::-1]], rising, 1e-4)[1], LABELS[::-1])
