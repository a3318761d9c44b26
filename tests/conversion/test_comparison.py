# SPDX-License-Identifier: Apache-2.0
"""Converters of `comparison.py`."""

from __future__ import annotations

import math

import pytest
import torch

from tests.conversion.checking import check_row
from tests.conversion.rows import Arg, Row, boolean, f, i32, i64

ORDER = ("gt", "ge", "lt", "le", "eq", "ne")
LEFT = torch.tensor([1.0, 2.0, math.nan, math.inf, -math.inf, math.nan])
RIGHT = torch.tensor([1.0, 3.0, 1.0, math.inf, math.inf, math.nan])
BYTES = Arg(torch.uint8, (9, 30), 0, 255)
SIGNED = Arg(torch.int8, (9, 30), -128, 127)

ROWS = [
    *(Row(n, getattr(torch, n), (i64("b", 9), i64(9))) for n in ORDER),
    *(Row(f"{n} with NaN", getattr(torch, n), (LEFT, RIGHT)) for n in ORDER),
    *(Row(f"{n} number", lambda x, n=n: getattr(torch, n)(x, 1), (i64(2, 9),)) for n in ORDER),
    *(Row(f"{n} fraction", lambda x, n=n: getattr(torch, n)(x, 0.5), (i32(2, 9),)) for n in ORDER),
    *(Row(f"{n} of bools", getattr(torch, n), (boolean(2, 9), boolean(9))) for n in ORDER),
    *(Row(f"{n} of bool and int", getattr(torch, n), (boolean(2, 9), i64(9))) for n in ORDER),
    Row("gt float matrix and int 0-d", torch.gt, (f(2, 3), i64())),
    Row("eq 0-d", torch.eq, (i64(), i64()), "ElementWise"),
    Row("eq number of bool", lambda x: x == True, (boolean(2, 3),)),  # noqa: E712
    *(
        Row(n, getattr(torch, n), (boolean(2, 9), boolean(9)))
        for n in ("logical_and", "logical_or", "logical_xor")
    ),
    Row("logical_and of floats", torch.logical_and, (f(2, 9), i64(9))),
    *(
        Row(f"{n} of {x.dtype} and {limit}", lambda x, n=n, m=limit: getattr(torch, n)(x, m), (x,))
        for n in ("gt", "le", "eq")
        for x, limit in ((BYTES, -1), (BYTES, 300), (SIGNED, 200), (SIGNED, -5))
    ),
    *(Row(f"{n} of signed and not", getattr(torch, n), (SIGNED, BYTES)) for n in ("gt", "eq")),
    *(
        Row(f"{n} of {x.dtype} and 0-d {m}", lambda x, n=n, m=m: getattr(torch, n)(x, m), (x,))
        for n in ("gt", "le", "eq")
        for x, m in ((BYTES, torch.tensor(-2)), (SIGNED, torch.tensor(200)))
    ),
    *(
        Row(f"{n} of {x.dtype} and 0-d {y.dtype}", getattr(torch, n), (x, y))
        for n in ("gt", "le", "maximum")
        for x, y in (
            (BYTES, Arg(torch.int64, (), -300, -2)),
            (SIGNED, Arg(torch.int32, (), 130, 300)),
        )
    ),
    Row("where", torch.where, (boolean("b", 3), f("b", 3), f(3))),
    Row("where promotes", torch.where, (boolean(2, 3), f(2, 3), i64(3))),
    Row("where bools", torch.where, (boolean(2, 3), boolean(2, 3), boolean(3))),
    Row("where ScalarOther", lambda c, x: torch.where(c, x, 0.5), (boolean(2, 1), f(2, 3))),
    Row("where ScalarSelf", lambda c, x: torch.where(c, 2, x), (boolean(2, 1), i64(2, 3))),
    Row(
        "where ScalarSelf fraction", lambda c, x: torch.where(c, 0.5, x), (boolean(2, 1), i64(2, 3))
    ),
    Row("where Scalar", lambda c: torch.where(c, 1.0, 0.0), (boolean(2, 3),)),
    Row("masked_fill", lambda x, m: x.masked_fill(m, -1e30), (f("b", 3), boolean("b", 1))),
    Row("masked_fill -inf", lambda x, m: x.masked_fill(m, -math.inf), (f(2, 3), boolean(3))),
    Row("masked_fill ints", lambda x, m: x.masked_fill(m, 7), (i64(2, 3), boolean(3))),
    Row("masked_fill bools", lambda x, m: x.masked_fill(m, True), (boolean(2, 3), boolean(3))),
    Row("masked_fill tensor", lambda x, m, v: x.masked_fill(m, v), (f(2, 3), boolean(3), f())),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_comparison(row):
    check_row(row)
