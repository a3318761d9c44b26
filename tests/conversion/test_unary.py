# SPDX-License-Identifier: Apache-2.0
"""Converters of `unary.py`."""

from __future__ import annotations

import math

import pytest
import torch

from tests.conversion.checking import check_row
from tests.conversion.rows import Row, boolean, f, i64

ZEROS = torch.tensor([-0.3, -0.0, 0.0, 0.3, -1.5])
SPECIAL = torch.tensor([[math.nan, -1.0, 0.0], [math.inf, -math.inf, 2.0]])
HALVES = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4, -2.6])

RANGES = {
    **dict.fromkeys(("exp", "erf", "sin", "cos", "tan", "sinh", "cosh", "atan", "asinh"), (-1, 1)),
    **dict.fromkeys(("asin", "acos", "atanh"), (-0.9, 0.9)),
    **dict.fromkeys(("log", "sqrt", "reciprocal", "rsqrt"), (0.1, 3)),
    "acosh": (1.1, 3),
}

ROWS = [
    *(
        Row(name, getattr(torch, name), (f("b", 5, low=low, high=high),))
        for name, (low, high) in RANGES.items()
    ),
    *(
        Row(f"{name} of ints", getattr(torch, name), (i64(2, 5, low=1, high=4),))
        for name in ("exp", "log", "sqrt", "reciprocal", "rsqrt", "erf", "sin")
    ),
    *(Row(name, getattr(torch, name), (f("b", 5),)) for name in ("abs", "neg", "sign", "square")),
    *(
        Row(f"{n} of ints", getattr(torch, n), (i64(2, 5),))
        for n in ("abs", "neg", "sign", "square")
    ),
    *(Row(f"{n} of a scalar", getattr(torch, n), (f(),)) for n in ("abs", "neg", "exp")),
    Row("sign of bool", torch.sign, (boolean(2, 5),)),
    *(
        Row(name, getattr(torch, name), (HALVES,))
        for name in ("ceil", "floor", "round", "trunc", "fix")
    ),
    *(
        Row(f"{n} of ints", getattr(torch, n), (i64(2, 5),))
        for n in ("ceil", "floor", "round", "trunc")
    ),
    Row("fix", lambda x: torch.ops.aten.fix.default(x), (HALVES,)),
    Row("trunc keeps the sign of zeros", lambda x: 1 / x.trunc(), (ZEROS,)),
    Row("trunc of infinities", torch.trunc, (SPECIAL,)),
    Row("isnan", torch.isnan, (SPECIAL,), "Unary"),
    Row("isnan of ints", torch.isnan, (i64(2, 3),)),
    Row("isinf", torch.isinf, (SPECIAL,), "Unary"),
    Row("logical_not", torch.logical_not, (boolean(2, 3),), "Unary"),
    Row("logical_not of floats", torch.logical_not, (torch.tensor([0.0, -0.5, 2.0, math.nan]),)),
    Row("to int", lambda x: x.to(torch.int32), (f("b", 5, low=-9, high=9),), "Cast"),
    Row("to bool", lambda x: x.to(torch.bool), (torch.tensor([0.0, -0.5, 2.0]),), "Cast"),
    Row("to float", lambda x: x.float(), (i64(2, 3),), "Cast"),
    Row("to float16 and back", lambda x: x.round().half().float(), (f("b", 3),)),
    Row("to bfloat16 and back", lambda x: (-x.round().bfloat16()).float(), (f("b", 3),)),
    Row("to uint8 and back", lambda x: x.to(torch.uint8).float(), (f(2, 3, low=0, high=200),)),
    Row("_to_copy", lambda x: torch.ops.aten._to_copy.default(x, dtype=torch.int64), (f(2, 3),)),
    Row("to.other", lambda x, y: torch.ops.aten.to.other(x, y), (f(2, 3), i64(1))),
    Row(
        "to.dtype_layout",
        lambda x: torch.ops.aten.to.dtype_layout(x, dtype=torch.float16).float(),
        (f(2, 3),),
    ),
    Row("clone", lambda x: x.clone(), (f("b", 3),), "Identity"),
    Row("contiguous", lambda x: torch.ops.aten.contiguous.default(x.t()) + 1, (f(2, 3),)),
    Row("detach", lambda x: torch.ops.aten.detach.default(x) + 1, (f(2, 3),)),
    Row("alias", lambda x: torch.ops.aten.alias.default(x) + 1, (f(2, 3),)),
    Row("output is an input, twice", lambda x: (x, x), (f(2, 3),), "Identity Identity"),
    Row("float64", lambda x: x.double().exp().float(), (f(2, 3),), refusal="no float64"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_unary(row):
    check_row(row)
