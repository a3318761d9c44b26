# SPDX-License-Identifier: Apache-2.0
"""Converters of `join.py`."""

from __future__ import annotations

import pytest
import torch

from tests.conversion.checking import check_program, check_row
from tests.conversion.rows import Calling, Row, boolean, f, i64

aten = torch.ops.aten

ROWS = [
    Row("cat", lambda x, y: torch.cat([x, y], 1), (f("b", 3), f("b", 2)), "Concatenation"),
    Row("cat last", lambda x, y: torch.cat([x, y, x], -1), (f("b", 3, "n"), f("b", 3, 2))),
    Row("cat of symbolic sizes", lambda x, y: torch.cat([x, y]), (f("b", 3), f("n", 3))),
    Row("cat promotes", lambda x, y: torch.cat([x, y]), (f(2, 3), i64(1, 3))),
    Row("cat of bools", lambda x, y: torch.cat([x, y]), (boolean(2, 3), boolean(1, 3))),
    Row("cat of nothing and something", lambda x, y: torch.cat([x, y]), (f(0), f(2, 3))),
    Row("cat of vectors", lambda x, y: torch.cat([x, y]), (f(2), f(3))),
    Row("stack", lambda x, y: torch.stack([x, y]), (f("b", 3), f("b", 3))),
    Row("stack last", lambda x, y: torch.stack([x, y], -1), (f("b", "n"), f("b", "n"))),
    Row("stack of scalars", lambda x, y: torch.stack([x, y]), (f(), f())),
    Row("split", lambda x: x.split(2, 1), (f("b", 5),), "Slice Slice Slice"),
    Row("split last", lambda x: x.split(3, -1), (f("b", 2, 6),), "Slice Slice"),
    Row("split a symbolic axis", lambda x: x.split(9), (f("n", 2),)),
    Row("split.sizes", lambda x: aten.split.sizes(x, [1, 4], 1), (f("b", 5),), "Slice Slice"),
    Row("split_with_sizes", lambda x: x.split([1, 2, 2], -1), (f("b", 5),), "Slice Slice Slice"),
    Row(
        "split_with_sizes overload",
        lambda x: aten.split_with_sizes.default(x, [3, 1]),
        (i64(4, 2),),
    ),
    Row("chunk", lambda x: x.chunk(3, 1), (f("b", 7),), "Slice Slice Slice"),
    Row("chunk bools", lambda x: x.chunk(2), (boolean(4, 3),)),
    Row("chunk into more than there are", lambda x: x.chunk(5), (f(3, 2),)),
    Row("unbind", lambda x: x.unbind(1), (f("b", 3, "n"),)),
    Row("unbind a vector", lambda x: x.unbind(), (f(3),)),
    Row("repeat", lambda x: x.repeat(2, 3), (f("b", 3),)),
    Row("repeat more dimensions", lambda x: x.repeat(2, 1, 3), (f(2, 3),)),
    Row("repeat a size of 1", lambda x: x.repeat(1, 3), (f("b", 1),)),
    Row("repeat a symbolic number of times", lambda x: x.repeat(x.shape[0], 1), (f("n", 2),)),
    Row("repeat nothing", lambda x: x.repeat(1, 1) + 1, (f(2, 3),), "ElementWise"),
    Row("tile", lambda x: x.tile(2), (i64("b", 3),)),
    Row("tile more dimensions", lambda x: x.tile(2, 1, 2), (f(2, 3),)),
    Row("roll", lambda x: x.roll(1, 1), (f("b", 5),), "Slice Slice Concatenation"),
    Row("roll two axes", lambda x: x.roll((-2, 7), (1, -1)), (f("b", 4, 3),)),
    Row("roll flat", lambda x: x.roll(2), (f(3, 4),)),
    Row("roll along a symbolic axis", lambda x: x.roll((-2, 1), (0, 1)), (f("n", "h"),)),
    Row("roll by the size", lambda x: x.roll(4, 1) + 1, (f(3, 4),), "ElementWise"),
    Row("roll of nothing", lambda x: x.roll((1, 2), (1, 0)), (f("b", 0),)),
    Row("roll flat of nothing", lambda x: x.roll(1), (f(3, 0),)),
    Row("roll by a size", lambda x: x.roll(x.shape[0], 1), (f("b", 4),)),
    Row("roll back by a size", lambda x, y: x.roll(-y.shape[0], 0), (f("h", 2), f("b"))),
    Row("flip", lambda x: x.flip(1), (f("b", 5),), "Slice"),
    Row("flip two axes", lambda x: x.flip(0, -1), (f(3, 2, 4),), "Slice"),
    Row("flip a symbolic axis", lambda x: x.flip(0), (i64("n", 3),)),
    Row("flip no elements", lambda x: x[:0].flip(0, 1).sum(0), (f(3, 4),)),
    Row("expand to no elements", lambda x: x[:1].expand(0, 4).sum(0), (f(3, 4),)),
    Row("flip nothing", lambda x: x.flip([]) + 1, (f(2, 3),), "ElementWise"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_join(row):
    check_row(row)


@pytest.mark.parametrize(
    ("function", "size"),
    [
        (lambda x: x.split(7, 1), torch.export.Dim("n", min=9, max=14)),
        (lambda x: x.chunk(2, 1), 2 * torch.export.Dim("half", min=4, max=7)),
    ],
)
def test_pieces_of_a_symbolic_axis(function, size):
    program = torch.export.export(
        Calling(function), (torch.randn(2, 10),), dynamic_shapes=(({1: size},),)
    )
    check_program(program, function, torch.randn(2, 10), torch.randn(2, 14))
