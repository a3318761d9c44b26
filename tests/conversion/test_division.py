# SPDX-License-Identifier: Apache-2.0
"""Converters of `division.py`."""

from __future__ import annotations

import math

import pytest
import torch

from tests.conversion.checking import check_row
from tests.conversion.rows import Arg, Row, f, i32, i64

aten = torch.ops.aten
WHOLE = torch.arange(-7.0, 8.0)
TENTHS = torch.tensor([1.0, 6.0, -1.0, 0.3, -0.3, 0.7, 1e5, -123456.7, 0.0])
DIVISORS = torch.tensor([0.1, -0.1, 3.0, 0.7, -1.3, 0.05])
INFINITE = torch.tensor([math.inf, -math.inf, 2.5, -2.5, math.nan])
RANDOM = Arg(torch.float32, (40, 30), -1000.0, 1000.0)


def division(mode):
    return lambda x, y: torch.div(x, y, rounding_mode=mode)


FUNCTIONS = {
    "floor_divide": torch.floor_divide,
    "remainder": torch.remainder,
    "fmod": torch.fmod,
    "div floor": division("floor"),
}
OPERANDS = {
    "ints": (i64(3, 7, low=-9, high=9), i64(7, low=2, high=4)),
    "by negative ints": (i32(3, 7, low=-9, high=9), i32(7, low=-4, high=-2)),
    "symbolic sizes": (f("b", 7, low=-9, high=9), f("b", 1, low=0.5, high=2)),
    "int by float": (i64(3, 7, low=-9, high=9), f(7, low=0.5, high=2)),
    "bytes": (Arg(torch.uint8, (3, 7), 0, 255), Arg(torch.uint8, (7,), 2, 9)),
    "float16": (Arg(torch.float16, (3, 7), -9, 9), Arg(torch.float16, (7,), 1, 2)),
}
EXACT = {
    "tenths": (TENTHS.reshape(-1, 1), DIVISORS),
    "whole numbers": (WHOLE.reshape(-1, 1), torch.tensor([2.0, -3.0, 7.0])),
    "random": (RANDOM.make(), Arg(torch.float32, (30,), 0.01, 2).make()),
    "random by negatives": (RANDOM.make(), Arg(torch.float32, (30,), -2, -0.01).make()),
}

ROWS = [
    Row("div", torch.div, (f(2, 3), f(2, 3, low=1)), "ElementWise"),
    Row("div ints", torch.div, (i64(2, 3), i64(2, 3, low=1))),
    Row("none by 0", lambda x: torch.fmod(x, 0), (i64("b", 0),), refusal="divided by 0"),
    Row("div number", lambda x: x / 3, (i32(2, 3),)),
    Row("div Scalar overload", lambda x: aten.div.Scalar(x, 4), (f(2, 3),)),
    Row("div by zero", torch.div, (torch.tensor([1.0, -1.0, 0.0]), torch.zeros(3))),
    *(
        Row(f"{name} of {what}", function, args)
        for name, function in FUNCTIONS.items()
        for what, args in OPERANDS.items()
    ),
    *(
        Row(f"{name} of {what}", function, args, accuracy=0)
        for name, function in FUNCTIONS.items()
        for what, args in EXACT.items()
    ),
    *(
        Row(f"{name} by infinities", function, (INFINITE[2:].reshape(-1, 1), INFINITE))
        for name, function in FUNCTIONS.items()
    ),
    *(
        Row(f"{name} of infinities", FUNCTIONS[name], (INFINITE.reshape(-1, 1), INFINITE))
        for name in ("remainder", "fmod")
    ),
    *(
        Row(f"{name} by {n}", lambda x, fn=fn, n=n: fn(x, n), (INFINITE[2:],))
        for name, fn in FUNCTIONS.items()
        for n in (math.inf, -math.inf)
    ),
    *(
        Row(f"{name} of {what} by {n}", lambda x, fn=fn, n=n: fn(x, n), (x,), accuracy=0)
        for name, fn in FUNCTIONS.items()
        for what, x in (("tenths", TENTHS), ("whole numbers", WHOLE), ("random", RANDOM.make()))
        for n in (0.1, -0.1, 2, 0.25, -3, math.pi)
    ),
    *(
        Row(
            f"{name} of ints by {n}", lambda x, fn=fn, n=n: fn(x, n), (i64("b", 7, low=-9, high=9),)
        )
        for name, fn in FUNCTIONS.items()
        for n in (3, -3, 2.5)
    ),
    *(
        Row(f"div {mode} {name}", division(mode), args)
        for mode in ("trunc", None)
        for name, args in {
            "floats": (f(3, 7, low=-9, high=9), f(7, low=0.5, high=2)),
            "by negatives": (f(3, 7, low=-9, high=9), f(7, low=-2, high=-0.5)),
            "ints": (i64(3, 7, low=-9, high=9), i64(7, low=2, high=4)),
            "negative ints": (i32(3, 7, low=-9, high=9), i32(7, low=-4, high=-2)),
        }.items()
    ),
    Row(
        "div Scalar_mode",
        lambda x: aten.div.Scalar_mode(x, 3, rounding_mode="trunc"),
        (i64(2, 7, low=-9, high=9),),
    ),
    Row("floor_divide by zero", torch.floor_divide, (torch.tensor([1.0, -1.0]), torch.zeros(2))),
    Row("remainder by zero", torch.remainder, (torch.tensor([1.0, -1.0]), torch.zeros(2))),
    Row("floor_divide", lambda x: x // 3, (i64(2, 7, low=-9, high=9),), "ElementWise"),
    Row("floor_divide by a power of two", lambda x: x // 0.5, (f("b", 7),), "ElementWise"),
    Row(
        "floor_divide Scalar",
        lambda x: aten.floor_divide.Scalar(x, 3),
        (i64(2, 7, low=-9, high=9),),
    ),
    Row("remainder of a number", lambda x: torch.remainder(7, x), (i64(5, low=2, high=4),)),
    Row("fmod Scalar", lambda x: aten.fmod.Scalar(x, 1.5), (f("b", 7, low=-9, high=9),)),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_division(row):
    check_row(row)
