# SPDX-License-Identifier: Apache-2.0
"""Converters of `arithmetic.py`."""

from __future__ import annotations

import math

import pytest
import torch

from tests.conversion.checking import check_row
from tests.conversion.rows import Arg, Row, boolean, f, i32, i64

NAN = torch.tensor([[math.nan, -3.0, 0.0], [math.inf, -math.inf, 0.5]])
SPECIAL = torch.tensor([math.nan, math.inf, -math.inf, 0.0, 1.5, 1e-6])
NEGATIVE = torch.tensor([-2.5, -1.0, -0.3, 0.4, 1.0, 1.7])
WHOLE = (5, 6, 7, 13, -3, 2.0, -4.0)
SIGNED = Arg(torch.int8, (3, 5), -128, 127)
BYTES = Arg(torch.uint8, (3, 5), 0, 255)
WRAPPING = {
    "sum": lambda x: x + x,
    "difference": lambda x: 3 - x,
    "product": lambda x: x * 5,
    "neg": torch.neg,
}

ROWS = [
    Row("add", torch.add, (f(2, 3), f(2, 3)), "ElementWise"),
    Row("add dynamic, ranks differ", torch.add, (f("b", 3, "n"), f("n")), "Shuffle ElementWise"),
    Row("add broadcast both", torch.add, (f(2, 1, 3), f(4, 1))),
    Row("add 0-d tensors", torch.add, (f(), f()), "ElementWise"),
    Row("add 0-d to matrix", torch.add, (f(2, 3), f())),
    Row("add number", lambda x: x + 1.5, (f(2, 3),), "ElementWise"),
    Row("add number to int", lambda x: x + 2, (i64(2, 3),), "ElementWise"),
    Row("add fraction to int", lambda x: x + 0.5, (i64(2, 3),), "Cast ElementWise"),
    Row("add int32 and int64", torch.add, (i32(2, 3), i64(2, 3)), "Cast ElementWise"),
    Row("add int and float", torch.add, (i64(2, 3), f(2, 3))),
    Row("add int matrix and float 0-d", torch.add, (i64(2, 3), f())),
    Row("add bool and int", torch.add, (boolean(2, 3), i64(2, 3))),
    Row("add bools", torch.add, (boolean(2, 3), boolean(2, 3)), "ElementWise"),
    Row("add alpha", lambda x, y: torch.add(x, y, alpha=2.5), (f(2, 3), f(3))),
    Row("add alpha int", lambda x, y: torch.add(x, y, alpha=3), (i64(2, 3), i64(3))),
    Row("add number alpha", lambda x: torch.add(x, 2.0, alpha=0.5), (f(2, 3),), "ElementWise"),
    Row("add Scalar overload", lambda x: torch.ops.aten.add.Scalar(x, 2, 3), (f(2, 3),)),
    Row("add uint8", lambda x: x.to(torch.uint8) + 200, (i64(2, 3, low=0, high=255),)),
    Row("sub", torch.sub, (f(2, 3), f(1, 3)), "ElementWise"),
    Row("sub alpha", lambda x, y: torch.sub(x, y, alpha=2), (f(2, 3), i64(3))),
    Row("sub Scalar overload", lambda x: torch.ops.aten.sub.Scalar(x, 2, 3), (i64(2, 3),)),
    Row("rsub number", lambda x: 1.5 - x, (f("b", 3),)),
    Row("rsub Scalar alpha", lambda x: torch.rsub(x, 3, alpha=2), (i64(2, 3),)),
    Row("rsub Tensor", lambda x, y: torch.rsub(x, y, alpha=2), (f(2, 3), f(3))),
    Row("mul", torch.mul, (f("b", 3), f("b", 1)), "ElementWise"),
    Row("mul number", lambda x: x * 3, (f(2, 3),), "ElementWise"),
    Row("mul Scalar overload", lambda x: torch.ops.aten.mul.Scalar(x, 2.5), (i64(2, 3),)),
    Row("mul bools", torch.mul, (boolean(2, 3), boolean(3))),
    Row("mul bool by float", torch.mul, (boolean(2, 3), f(2, 3))),
    *(Row(f"pow {e}", lambda x, e=e: x**e, (f(2, 5, low=0.2),)) for e in (0, 1, 2, 3, 4, 5, 2.5)),
    *(Row(f"pow {e}", lambda x, e=e: x**e, (f(2, 5, low=0.2),)) for e in (0.5, -0.5, -1, -2)),
    *(Row(f"pow {e} of negatives", lambda x, e=e: x**e, (f(2, 5),)) for e in (2, 3, 4)),
    *(Row(f"pow {e} of ints", lambda x, e=e: x**e, (i64(2, 5),)) for e in (0, 1, 2, 3, 4)),
    Row("pow 0.5 of ints", lambda x: x**0.5, (i64(2, 5, low=0),)),
    Row("pow 0 dynamic", lambda x: x**0, (f("b", "n"),)),
    *(Row(f"pow {e} of negatives", lambda x, e=e: x**e, (NEGATIVE,), accuracy=2e-6) for e in WHOLE),
    *(Row(f"pow {e} of ints", lambda x, e=e: x**e, (i64("b", 5),)) for e in (5, 39, 64)),
    Row("pow 2 of int8", lambda x: x**2, (SIGNED,)),
    Row("pow 100 of ints", lambda x: x**100, (i64(2, 5),), refusal="power 100 of integers"),
    *(
        Row(f"pow {e} of special numbers", lambda x, e=e: x**e, (SPECIAL,))
        for e in (0, 1, 2, 0.5, -1, -2, 3.0)
    ),
    *(
        Row(f"{name} of {x.dtype} wraps", function, (x,))
        for x in (SIGNED, BYTES)
        for name, function in WRAPPING.items()
    ),
    *(
        Row(
            f"to {dtype} wraps",
            lambda x, dtype=dtype: x.to(dtype),
            (i64("b", 5, low=-999, high=999),),
        )
        for dtype in (torch.int8, torch.uint8)
    ),
    Row("uint8 to int8 wraps", lambda x: x.to(torch.int8), (BYTES,)),
    Row("float 0-d by ints", torch.mul, (f(), i64(2, 3))),
    Row("int 0-d by float16", torch.mul, (i64(), Arg(torch.float16, (2, 3)))),
    Row("int64 0-d and int32", torch.add, (i64(), i32(2, 3))),
    Row("add alpha is a size", lambda x: torch.add(x, x, alpha=x.shape[0]), (f("b", 3),)),
    Row("sub a number alpha is a size", lambda x: torch.sub(x, 2, alpha=x.shape[0]), (f("b", 3),)),
    Row("mul by a size", lambda x: x * x.shape[0], (i64("b", 3),)),
    Row("div by a size", lambda x: x / x.shape[0], (i64("b", 3),)),
    Row("pow of a size", lambda x: x ** x.shape[0], (f("b", 3, low=0.1),)),
    Row(
        "pow of ints of a size", lambda x: x ** x.shape[0], (i64("b", 3),), refusal="integer powers"
    ),
    Row("float_power", torch.float_power, (f(2, 3), f(3)), refusal="use pow"),
    Row("int16", lambda x: x + 1, (Arg(torch.int16, (2, 3)),), refusal="use int32"),
    Row("pow tensors", torch.pow, (f(2, 5, low=0.1), f(5))),
    Row("pow float by int tensor", torch.pow, (f(2, 5, low=0.1), i64(5))),
    Row("pow int tensors", torch.pow, (i64(2, 5), i64(5, low=0)), refusal="integer powers"),
    Row("pow of a number", lambda x: 2**x, (f(2, 5),)),
    Row("pow of a fraction by ints", lambda x: 1.5**x, (i64(2, 5),)),
    Row("pow of an int by ints", lambda x: 2**x, (i64(2, 5, low=0),), refusal="integer powers"),
    Row("maximum", torch.maximum, (f(2, 3), f(3))),
    Row("maximum of int and float", torch.maximum, (f(2, 3), i64(3))),
    Row("maximum of bools", torch.maximum, (boolean(2, 3), boolean(3))),
    Row("maximum of NaN", lambda x: torch.maximum(x, torch.zeros_like(x)), (NAN,)),
    Row("minimum", torch.minimum, (i64(2, 3), i64(3))),
    Row("minimum of bools", torch.minimum, (boolean(2, 3), boolean(3))),
    Row("clamp", lambda x: x.clamp(-1, 1), (f("b", 5),), "Activation"),
    Row("clamp min only", lambda x: x.clamp(min=0.5), (f(2, 5),), "ElementWise"),
    Row("clamp max only", lambda x: x.clamp(max=0.5), (f(2, 5),), "ElementWise"),
    Row("clamp crossed bounds", lambda x: x.clamp(1, -1), (f(2, 5),)),
    Row("clamp infinite bounds", lambda x: x.clamp(-math.inf, 1), (NAN[1:],), "ElementWise"),
    Row("clamp NaN", lambda x: x.clamp(-1, 1), (NAN,)),
    Row("clamp ints", lambda x: x.clamp(-1, 2), (i64(2, 5),)),
    Row("clamp ints by fractions", lambda x: x.clamp(-0.5, 1.5), (i64(2, 5),)),
    Row("clamp ints, float min", lambda x: x.clamp(min=0.5), (i32(2, 5),)),
    Row("clamp tensors", torch.clamp, (f(2, 5), f(5, low=-1, high=0), f(1, low=0, high=1))),
    Row("clamp tensor min", lambda x, y: x.clamp(min=y), (i64(2, 5), f(5))),
    Row("clip", lambda x: torch.ops.aten.clip.default(x, -1, 1), (f(2, 5),)),
    Row("clip tensor", lambda x, y: torch.ops.aten.clip.Tensor(x, y), (f(2, 5), f(5))),
    Row("clamp_min", lambda x: torch.clamp_min(x, 0.5), (f(2, 5),)),
    Row("clamp_max", lambda x: torch.clamp_max(x, 1), (i64(2, 5),)),
    Row("clamp_min tensor", torch.clamp_min, (f(2, 5), f(5))),
    Row("clamp_max tensor", torch.clamp_max, (f(2, 5), f(5))),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_arithmetic(row):
    check_row(row)
