# SPDX-License-Identifier: Apache-2.0
"""Converters of `padding.py`."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tests.conversion.checking import check_row
from tests.conversion.rows import Row, boolean, f, i64

aten = torch.ops.aten
IMAGE = f("b", 3, "h", "w")


def pad(amounts, mode="constant", value=None):
    return lambda x: F.pad(x, amounts, mode, value)


ROWS = [
    Row(  # ONNX Runtime moves the transposes through the padding
        "pad between transposes",
        lambda x: F.pad(x.permute(0, 3, 1, 2), (0, 1, 0, 1)).permute(0, 2, 3, 1) * 2,
        (f("b", 5, 6, 3),),
    ),
    Row(
        "pad of a symbolic size between transposes",
        lambda x: F.pad(x.permute(0, 3, 1, 2), (0, 1, -1, 1)).permute(0, 2, 3, 1) * 2,
        (f("b", "h", "w", 3),),
    ),
    Row("constant", pad((1, 2, 0, 3)), (f(2, 3, 4, 5),), "Slice"),
    Row("constant dynamic", pad((1, 2, 0, 3), value=0.5), (IMAGE,)),
    Row("constant batch", pad((0, 0, 1, 2)), (f("b", 3),)),
    Row("constant negative", pad((-1, 2, 1, -2)), (IMAGE,)),
    Row("constant negative static", pad((-1, -1), value=7.0), (f(2, 5),), "Slice"),
    Row("constant ints", pad((1, 1), value=3), (i64(2, 3),)),
    Row("constant bools", pad((1, 2), value=True), (boolean(2, 3),)),
    Row("constant -inf", pad((1, 1), value=float("-inf")), (f(2, 3),)),
    Row("nothing", lambda x: aten.pad.default(x, [0, 0]) + 1, (f(2, 3),), "ElementWise"),
    Row("by a size", lambda x: F.pad(x, (0, x.shape[0], 0, 0)), (f("b", 3),)),
    Row("to a multiple", lambda x: F.pad(x, (0, -x.shape[1] % 4)), (f(2, "n"),)),
    *(
        Row(f"{mode} {name}", pad(amounts, mode), (arg,), None)
        for mode in ("reflect", "replicate", "circular")
        for name, amounts, arg in [
            ("1d", (2, 1), f("b", 3, 5)),
            ("2d", (2, 1, 0, 3), f("b", 3, 5, 6)),
            ("2d dynamic", (2, 1, 0, 3), IMAGE),
            ("3d", (1, 2, 0, 1, 2, 1), f("b", 2, 4, 5, 6)),
        ]
    ),
    Row("reflect without batch", pad((1, 2), "reflect"), (f(3, 5),)),
    *(
        Row(f"{m} negative", pad((2, -1), m), (f(2, 3, 5),))
        for m in ("reflect", "replicate", "circular")
    ),
    Row("constant_pad_nd", lambda x: aten.constant_pad_nd.default(x, [1, 2], 0.5), (f("b", 3),)),
    *(
        Row(
            f"{name}_pad{n}d",
            lambda x, s=f"{name}_pad{n}d", n=n: getattr(aten, s).default(x, [1, 2] * n),
            (f("b", 2, *(4, 5, 6)[:n]),),
            "Slice",
        )
        for name in ("reflection", "replication")
        for n in (1, 2, 3)
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_padding(row):
    check_row(row)
