# SPDX-License-Identifier: Apache-2.0
"""Converters of `reduction.py`."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from tests.conversion.checking import check_row
from tests.conversion.rows import Row, boolean, f, i32, i64

INFINITE = torch.tensor([[-math.inf, -math.inf], [math.inf, 1.0], [-math.inf, 2.0], [3.0, 4.0]])
HUGE = torch.tensor([[2**53 + 1, 2**53 + 3, -(2**60) - 1, 5, 3], [2**62, 2**62, 2**62, -7, 1]])
X = f("b", 3, "n")
DIMS = (None, 1, -1, (0, 2), ())


def over(name, **options):
    return lambda x: getattr(torch, name)(x, **options)


ROWS = [
    Row("any over no axis", lambda x: torch.ops.aten.any.dims(x, []), (f("b", 3),)),
    Row("all over no axis", lambda x: torch.ops.aten.all.dims(x, [], True), (boolean("b", 3),)),
    *(
        Row(f"{name} dim={dim} keepdim={keep}", over(name, dim=dim, keepdim=keep), (X,))
        for name, dim, keep in itertools.product(
            ("sum", "mean", "amax", "amin"), DIMS[1:], (False, True)
        )
    ),
    *(Row(f"{name} all", over(name), (X,)) for name in ("sum", "mean", "max", "min", "prod")),
    *(Row(f"{name} of ints", over(name), (i64("b", 3),)) for name in ("sum", "max", "min", "prod")),
    *(Row(f"{name} of a scalar", over(name), (f(),)) for name in ("sum", "mean", "max", "prod")),
    Row("sum of a scalar, dim", over("sum", dim=0), (f(),)),
    Row("sum of bools", over("sum", dim=1), (boolean("b", 3),)),
    Row("sum of int32", over("sum", dim=1), (i32("b", 3),)),
    *(
        Row(f"{name}{dim} of large {kind}", over(name, **dim, dtype=dtype), (HUGE.to(dtype),))
        for name in ("sum", "prod")
        for dim in ({}, {"dim": 1}, {"dim": 0, "keepdim": True})
        for kind, dtype in (("int32", torch.int32), ("int64", torch.int64))
    ),
    Row("sum in float", over("sum", dim=1, dtype=torch.float32), (i64("b", 3),)),
    Row("sum default in float", over("sum", dtype=torch.float32), (i64("b", 3),)),
    Row("mean of ints", over("mean", dim=1, dtype=torch.float32), (i64("b", 3),)),
    Row("amax of bools", over("amax", dim=1), (boolean(2, 3),)),
    Row("amin of ints", over("amin", dim=(0, 1)), (i64(2, 3),)),
    Row("prod dim", over("prod", dim=1, keepdim=True), (X,)),
    Row("prod dim of ints", over("prod", dim=0), (i64(3, 2),)),
    *(
        Row(f"{name} dim={dim}", over(name, dim=dim), (boolean("b", 3, "n"),))
        for name, dim in itertools.product(("any", "all"), (1, (0, -1)))
    ),
    *(Row(f"{n} keepdim", over(n, dim=1, keepdim=True), (boolean(2, 3),)) for n in ("any", "all")),
    *(Row(f"{name} of all", over(name), (boolean("b", 3),)) for name in ("any", "all")),
    *(
        Row(f"{name} of ints", over(name, dim=1), (i64(2, 3, low=0, high=1),))
        for name in ("any", "all")
    ),
    *(
        Row(f"{name} dim={dim} correction={c}", over(name, dim=dim, correction=c), (X,))
        for name, dim, c in itertools.product(("var", "std"), (None, 1, (1, 2)), (0, 1))
    ),
    Row("var of a known size", over("var", dim=1, keepdim=True), (f("b", 5),)),
    Row("var correction beyond the count", over("var", dim=1, correction=3), (f(2, 3),)),
    Row("var of all", lambda x: x.var(), (f(3, 4),)),
    Row("var biased", lambda x: x.var(1, unbiased=False), (f(3, 4),)),
    Row("std biased", lambda x: x.std(1, unbiased=False, keepdim=True), (f(3, 4),)),
    Row("std of all", lambda x: x.std(), (f(3, 4),)),
    *(
        Row(f"logsumexp dim={dim} keepdim={keep}", over("logsumexp", dim=dim, keepdim=keep), (X,))
        for dim, keep in itertools.product((1, (0, 2)), (False, True))
    ),
    Row("logsumexp of infinities", over("logsumexp", dim=1), (INFINITE,)),
    Row("logsumexp of large numbers", over("logsumexp", dim=1), (f(2, 3, low=200, high=300),)),
    Row("logsumexp of ints", over("logsumexp", dim=1), (i64(2, 3),)),
    Row("logsumexp of a scalar", over("logsumexp", dim=0), (f(),)),
    *(
        Row(
            f"vector_norm {order} dim={dim}",
            lambda x, o=order, d=dim: torch.linalg.vector_norm(x, o, d),
            (X,),
        )
        for order, dim in itertools.product((1, 2, 3, 0.5, math.inf, -math.inf), (None, (0, 1)))
    ),
    Row("vector_norm 0", lambda x: torch.linalg.vector_norm(x.round(), 0, 1), (X,)),
    Row("vector_norm keepdim", lambda x: x.norm(dim=1, keepdim=True), (X,)),
    Row("cumsum", lambda x: x.cumsum(1), (X,), "Cumulative"),
    Row("cumsum last, symbolic", lambda x: x.cumsum(-1), (X,), "Cumulative"),
    Row("cumsum of bools", lambda x: x.cumsum(0), (boolean(4, 3),)),
    Row("cumsum of int32", lambda x: x.cumsum(0), (i32(4, 3),)),
    Row("cumsum in float", lambda x: x.cumsum(0, dtype=torch.float32), (i64(4, 3),)),
    Row("cumsum of a scalar", lambda x: x.cumsum(0) + 1, (f(),), "ElementWise"),
]


@pytest.mark.filterwarnings("ignore:var\\(\\). degrees of freedom")  # eager says it too
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_reduction(row):
    check_row(row)
