# SPDX-License-Identifier: Apache-2.0
"""Detections may change places with neighbours of the same score, and nothing else may differ."""

from __future__ import annotations

import math

import torch

from tests.support.detections import in_any_order

BOXES = torch.tensor([[0.0, 0, 8, 8], [1, 1, 4, 4], [5, 5, 10, 10]])
SCORES = torch.tensor([0.8, 0.5, 0.5])
LABELS = torch.tensor([7, 3, 4])
FOUND = [BOXES, SCORES, LABELS]


def error(boxes=BOXES, scores=SCORES, labels=LABELS) -> float:
    return in_any_order([boxes, scores, labels], FOUND)


def test_order_does_not_count_where_scores_agree() -> None:
    order = [0, 2, 1]
    assert error(BOXES[order], SCORES[order], LABELS[order]) == 0.0
    assert in_any_order([x[:0] for x in FOUND], [x[:0] for x in FOUND]) == 0.0


def test_everything_else_counts() -> None:
    order = [1, 0, 2]
    assert math.isclose(error(BOXES[order], SCORES[order], LABELS[order]), 0.3 / 0.8, rel_tol=1e-6)
    assert error(BOXES + 0.1) > 9e-3
    assert error(labels=LABELS[[0, 0, 2]]) == math.inf
    assert error(labels=LABELS[[0, 2, 1]]) > 0.4  # each box with the label of another
    assert error(BOXES[[0, 0, 2]]) > 0.3  # one found twice
    assert in_any_order([x[:2] for x in FOUND], FOUND) == math.inf
    assert error(scores=torch.tensor([0.8, 0.5, math.nan])) == math.inf
