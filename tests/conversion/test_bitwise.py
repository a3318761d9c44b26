# SPDX-License-Identifier: Apache-2.0
"""Converters of `bitwise.py`."""

from __future__ import annotations

import operator

import pytest
import torch

from tests.conversion.checking import check_row
from tests.conversion.rows import Arg, Row, boolean, i32, i64

aten = torch.ops.aten
OPS = {"and": operator.and_, "or": operator.or_, "xor": operator.xor}
WIDE = i64("b", 9, low=-70000, high=70000)
BYTES = Arg(torch.uint8, (3, 9), 0, 255)
SIGNED = Arg(torch.int8, (3, 9), -128, 127)
EDGES = torch.tensor([0, -1, 1, 2**31 - 1, -(2**31), 123456789], dtype=torch.int32)


def with_number(name, number):
    return lambda x: OPS[name](x, number)


ROWS = [
    *(
        Row(f"bitwise {n}", getattr(torch, f"bitwise_{n}"), (boolean(2, 9), boolean(9)))
        for n in OPS
    ),
    *(
        Row(
            f"bitwise {n} number",
            lambda x, n=n: getattr(aten, f"bitwise_{n}").Scalar(x, True),
            (boolean(2, 9),),
        )
        for n in OPS
    ),
    *(Row(f"operator {n}", op, (boolean(2, 9), boolean(9))) for n, op in OPS.items()),
    *(
        Row(f"{n} with {mask}", with_number(n, mask), (WIDE,))
        for n in OPS
        for mask in (255, 1, 0, -1, 0xF0, 0x1234, -8, 2**40)
    ),
    *(Row(f"{n} of int32", with_number(n, 0xFF00), (EDGES,), accuracy=0) for n in OPS),
    *(Row(f"{n} of the sign", with_number(n, -(2**31)), (EDGES,), accuracy=0) for n in OPS),
    *(Row(f"{n} of bytes", with_number(n, 0xF5), (BYTES,)) for n in OPS),
    *(Row(f"{n} of int8", with_number(n, -16), (SIGNED,)) for n in OPS),
    *(
        Row(
            f"{n} of a number",
            lambda x, n=n: getattr(aten, f"bitwise_{n}").Scalar_Tensor(15, x),
            (WIDE,),
        )
        for n in OPS
    ),
    *(
        Row(
            f"bitwise_{n}.Scalar",
            lambda x, n=n: getattr(aten, f"bitwise_{n}").Scalar(x, 3),
            (WIDE,),
        )
        for n in OPS
    ),
    Row("and of ints", torch.bitwise_and, (i64(2, 9), i64(9)), refusal="bitwise operation on two"),
    Row("or with ints", torch.bitwise_or, (boolean(2, 9), i64(9)), refusal="bitwise operation"),
    Row("xor with 3", lambda x: torch.bitwise_xor(x, 3), (boolean(2, 9),), refusal="cast the bool"),
    Row("and of many runs", with_number("and", 0x5555), (i64(2, 9),), refusal="runs of bits"),
    Row("bitwise_not", torch.bitwise_not, (boolean(2, 9),), "Unary"),
    Row("bitwise_not of ints", torch.bitwise_not, (WIDE,), "ElementWise"),
    *(Row(f"bitwise_not of {x.dtype}", torch.bitwise_not, (x,)) for x in (BYTES, SIGNED)),
    *(
        Row(f"shift {name}", lambda x, shift=shift: shift(x, 3), (WIDE,), "ElementWise")
        for name, shift in (("left", operator.lshift), ("right", operator.rshift))
    ),
    *(
        Row(
            f"bitwise_{n}_shift",
            lambda x, n=n: getattr(torch, f"bitwise_{n}_shift")(x, 2),
            (SIGNED,),
        )
        for n in ("left", "right")
    ),
    *(
        Row(
            f"bitwise_{n}_shift.Tensor_Scalar",
            lambda x, n=n: getattr(aten, f"bitwise_{n}_shift").Tensor_Scalar(x, 2),
            (i32("b", 3),),
        )
        for n in ("left", "right")
    ),
    Row(
        "shift of bools",
        lambda x: aten.bitwise_right_shift.Tensor_Scalar(x, 1),
        (boolean(3),),
        refusal="no shift of bool",
    ),
    Row("shift too far", lambda x: x << 31, (i32(3),), refusal="a number from 0 to 30"),
    Row("shift by a tensor", operator.lshift, (i64(3), i64(3, low=0)), refusal="shift by a tensor"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bitwise(row):
    check_row(row)
