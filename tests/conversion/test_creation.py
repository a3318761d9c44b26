# SPDX-License-Identifier: Apache-2.0
"""Converters of `creation.py`."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tests.conversion.checking import check_lowered, check_row
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
    Row("arange of halves to a size", lambda x: torch.arange(0, x.shape[0], 0.5), (f("n"),)),
    Row("arange from a fraction", lambda x: torch.arange(0.5, x.shape[0]), (f("n"),)),
    Row("arange down by fractions", lambda x: torch.arange(x.shape[0], 0, -0.3), (f("n"),)),
    Row("arange to a fraction", lambda x: torch.arange(x.shape[0], 20.5, 2), (f("n"),)),
    Row("arange in half", lambda x: torch.arange(0, x.shape[0], 0.5).half(), (f("n"),)),
    Row("arange by a size", lambda x: torch.arange(0, 20, x.shape[0]), (f("n"),)),
    Row(
        "arange between sizes by one",
        lambda x, y: torch.arange(1, y.shape[0], x.shape[0]),
        (f("b"), f("h")),
    ),
    Row(
        "arange of fractions as ints",
        lambda x: aten.arange.start_step(0, x.shape[0], 1.5, dtype=torch.int64),
        (f("n"),),
        refusal="count in whole numbers",
    ),
    Row("empty_like", lambda x: torch.empty_like(x) * 0 == 1, (X,)),
    Row("new_empty", lambda x: x.new_empty(x.shape[0], 2) * 0 == 1, (X,)),
    Row("empty_strided", lambda x: torch.empty_strided((x.shape[0], 2), (2, 1)) * 0 == 1, (X,)),
    Row("new_empty_strided", lambda x: x.new_empty_strided((2, 3), (3, 1)) * 0 == x, (f(2, 3),)),
    Row("empty_permuted", lambda x: torch.empty_permuted((2, 3), (0, 1)) * 0 == x, (f(2, 3),)),
    Row("native_dropout", lambda x: aten.native_dropout.default(x, 0.5, False), (X,)),
    Row(
        "dropout while training",
        lambda x: aten.native_dropout.default(x, 0.5, True),
        (X,),
        refusal="call eval()",
    ),
    Row("dropout kept", lambda x: F.dropout(x, 0.5, True), (X,), refusal="call eval()"),
    *(
        Row(name, run, (X,), refusal="give them to the model as an input")
        for name, run in {
            "rand": lambda x: x + torch.rand(3),
            "randn": lambda x: x + torch.randn(3),
            "rand_like": lambda x: x + torch.rand_like(x),
            "randn_like": lambda x: x + torch.randn_like(x),
            "randint": lambda x: x + torch.randint(0, 9, (3,)),
            "randperm": lambda x: x[:, torch.randperm(3)],
            "bernoulli": lambda x: torch.bernoulli(x.sigmoid()),
            "multinomial": lambda x: torch.multinomial(x.sigmoid(), 2),
        }.items()
    ),
]


LOWERED_ROWS = [
    Row("eye", lambda x: torch.eye(3) @ x, (f(3, "b"),)),
    Row("eye of a size", lambda x: torch.eye(x.shape[0]) + x, (f("n", "n"),)),
    Row("eye of two sizes", lambda x: torch.eye(x.shape[0], x.shape[1]) * x, (f("n", "h"),)),
    Row("linspace", lambda x: torch.linspace(-1, 1, 5) + x, (f("b", 5),)),
    Row("logspace", lambda x: torch.logspace(0, 1, 5) + x, (f("b", 5),)),
    Row("a constant tensor", lambda x: x + torch.tensor([1, 2, 3]), (X,)),
    Row("filled in place", lambda x: torch.empty_like(x).fill_(2) + x, (X,)),
    Row("zeroed in place", lambda x: x.new_empty(x.shape[0], 2).zero_() + 1, (X,)),
    Row("tril of ones", lambda x: torch.ones(x.shape[0], x.shape[0]).tril() @ x, (f("n", 3),)),
    Row("tril", lambda x: x.tril(-1), (f("b", 5, 6),)),
    Row("triu dynamic", lambda x: x.triu(1), (f(2, "n", "h"),)),
    Row("triu of ints", lambda x: x.triu(-2), (i64("n", 5),)),
    Row("tril of bools", lambda x: x.tril(), (boolean("n", 5),)),
    Row("tril_indices", lambda x: x[(slice(None), *torch.tril_indices(4, 3, -1))], (f("b", 4, 3),)),
]


@pytest.mark.parametrize("row", LOWERED_ROWS, ids=lambda row: row.name)
def test_creation_lowered(row):
    check_lowered(row)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_creation(row):
    check_row(row)
