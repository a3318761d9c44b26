# SPDX-License-Identifier: Apache-2.0
"""Converters of `selection.py`."""

from __future__ import annotations

import pytest
import torch

from tests.conversion.checking import check_row
from tests.conversion.rows import Row, boolean, f

X = f("b", 5, "n")
DISTINCT = torch.randperm(24).reshape(4, 6)


def call(name, *args, **options):
    return lambda x: (
        tuple(v) if isinstance(v := getattr(torch, name)(x, *args, **options), tuple) else v
    )


ROWS = [
    *(Row(name, call(name, 1), (X,)) for name in ("argmax", "argmin")),
    *(Row(f"{n} of all", call(n), (f(3, 4),)) for n in ("argmax", "argmin")),
    Row("argmax of all, symbolic", call("argmax"), (X,)),
    Row("argmax keepdim", call("argmax", -1, keepdim=True), (f("b", 5),)),
    Row("argmax of all, keepdim", call("argmax", keepdim=True), (f(3, 4),)),
    Row("argmax of a vector", call("argmax", 0), (f(5),)),
    Row("argmax of a scalar", call("argmax", 0), (f(),)),
    Row("argmax of all of a scalar", call("argmax"), (f(),)),
    Row("argmin of ints", call("argmin", 0), (DISTINCT,)),
    *(Row(f"{name}.dim", call(name, 1), (X,)) for name in ("max", "min")),
    Row("max.dim keepdim", call("max", -1, keepdim=True), (X,)),
    Row("max.dim of a vector", call("max", 0), (f(5),)),
    Row("max.dim of a scalar", call("max", 0), (f(),)),
    Row("min.dim of ints", call("min", 1), (DISTINCT,)),
    Row("max.dim of bools", lambda x: x.max(1)[0], (boolean(3, 4),)),
    Row("topk", call("topk", 3, 1), (X,)),
    Row("topk smallest", call("topk", 2, 0, largest=False), (f(4, 3),)),
    Row("topk last", call("topk", 3), (f("b", 5),)),
    Row("topk of a vector", call("topk", 3), (f(5),)),
    Row("topk of a scalar", call("topk", 1), (f(),)),
    Row("topk of ints", call("topk", 3), (DISTINCT,)),
    Row("topk unsorted", lambda x: x.topk(3, sorted=False)[0].sum(1), (f("b", 5),)),
    Row("topk of too many", call("topk", 4000), (f(4000),), refusal="up to 3840"),
    Row(
        "topk of a symbolic number",
        lambda x: x.topk(x.shape[1])[0],
        (f(2, "n"),),
        refusal="known k",
    ),
    Row("sort", call("sort", 1), (f("b", 5),)),
    Row("sort descending", call("sort", 0, descending=True), (f(5, 2),)),
    Row("sort of a vector", call("sort"), (f(5),)),
    Row("sort of a scalar", call("sort"), (f(),)),
    Row("sort of ints", call("sort"), (DISTINCT,)),
    Row("sort of a symbolic axis", call("sort", 0), (f("n", 2),), refusal="known k"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_selection(row):
    check_row(row)
