# SPDX-License-Identifier: Apache-2.0
"""Converters of `creation.py`."""

from __future__ import annotations

import pytest
import torch

from tests.conversion.checking import check_row
from tests.conversion.rows import Row, boolean, f, i64

aten = torch.ops.aten
X = f("b", 3)

ROWS = [
    Row("full", lambda x: x + torch.full((2, 3), 0.5), (f(2, 3),), "ElementWise"),
    Row("full symbolic", lambda x: torch.full((x.shape[0], 2), 7), (X,)),
    Row("full bool", lambda x: torch.full((x.shape[0],), True), (X,)),
    Row("full of a size", lambda x: torch.full((2,), x.shape[0]), (X,)),
    Row("zeros", lambda x: torch.zeros(x.shape[0], 2), (X,)),
    Row("zeros int", lambda x: x.long() + torch.zeros(3, dtype=torch.int64), (X,)),
    Row("ones", lambda x: torch.ones(2, x.shape[0]), (X,)),
    Row("empty", lambda x: torch.empty(x.shape[0], 2) * 0 == 1, (X,)),
    Row("new_zeros", lambda x: x.new_zeros(x.shape[0], 2), (i64("b", 3),)),
    Row("new_ones", lambda x: x.new_ones((2, 3), dtype=torch.float32) + x, (i64(2, 3),)),
    Row("new_full", lambda x: x.new_full((x.shape[0],), 2.5), (X,)),
    Row("zeros_like", torch.zeros_like, (X,)),
    Row("ones_like", torch.ones_like, (boolean("b", 3),)),
    Row("full_like", lambda x: torch.full_like(x, 3), (f("b", "n"),)),
    Row("full_like static", lambda x: torch.full_like(x, 3) + x, (i64(2, 3),), "ElementWise"),
    Row("scalar_tensor", lambda x: x + torch.scalar_tensor(2.0), (X,)),
    Row("scalar_tensor of a size", lambda x: x * aten.scalar_tensor.default(x.shape[0]), (X,)),
    Row("arange", lambda x: torch.arange(5) + x, (i64("b", 5),)),
    Row("arange to a size", lambda x: torch.arange(x.shape[0]), (f("n", 3),)),
    Row(
        "arange float to a size", lambda x: torch.arange(x.shape[0], dtype=torch.float32), (f("n"),)
    ),
    Row("arange.start", lambda x: torch.arange(2, x.shape[0]), (f("n", 3),)),
    Row(
        "arange.start of a size",
        lambda x, y: torch.arange(x.shape[0], y.shape[0]),
        (f("b"), f("h")),
    ),
    Row("arange fractions", lambda x: torch.arange(0, 2, 0.3) + x, (f(7),)),
    *(
        Row(
            f"arange from {start} by {step}",
            lambda x, s=start, t=step: torch.arange(s, x.shape[0], t),
            (f("h"),),
        )
        for start, step in [(0, 2), (1, 3), (20, -3), (19, -1)]
    ),
    Row(
        "arange fractions to a size",
        lambda x: torch.arange(0, x.shape[0], 0.5),
        (f("n"),),
        refusal="count in whole numbers",
    ),
    Row(
        "arange from a fraction",
        lambda x: torch.arange(0.5, x.shape[0]),
        (f("n"),),
        refusal="count in whole numbers",
    ),
    Row(
        "arange by a size",
        lambda x: torch.arange(0, 20, x.shape[0]),
        (f("n"),),
        refusal="give it a number",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_creation(row):
    check_row(row)
