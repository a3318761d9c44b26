# SPDX-License-Identifier: Apache-2.0
"""Converters of `scatter.py`."""

from __future__ import annotations

import pytest
import torch

from tests.conversion.checking import check_row
from tests.conversion.rows import Arg, Row, boolean, f, i32, i64

aten = torch.ops.aten
X, SRC = f("b", 5), f("b", 7)
DISTINCT = torch.tensor([[3, 0, 4], [1, 2, 0]])
ONE, OTHER = torch.tensor([0, -1, 2]), torch.tensor([2, 0, -2])


def places(count, *shape):
    """Indices into `count` elements, many of them equal."""
    return i64(*shape, low=0, high=count - 1)


def at(count, *shape):
    """Indices of both signs."""
    return i64(*shape, low=-count, high=count - 1)


def half(*shape):
    return Arg(torch.float16, shape)


def put(*indices, accumulate=False):
    return lambda x, v: x.index_put([*indices], v, accumulate)


def added(*before):
    """Accumulates at indices that are inputs, after axes that stay whole."""
    return lambda x, v, *indices: aten.index_put.default(x, [*before, *indices], v, True)


def masked(x, mask, value):
    return aten.index_put.default(x, [mask], value)


SCATTERS = [
    Row(
        "scatter into a scalar",
        lambda x, i, y: x.scatter(0, i, y),
        (f(), i64(1, low=0, high=0), f(2)),
    ),
    Row(
        "scatter_add into a scalar",
        lambda x, i, y: x.scatter_add(0, i, y),
        (f(), i64(1, low=0, high=0), f(2)),
    ),
    Row("src", lambda x, s: x.scatter(1, DISTINCT, s), (f(2, 5), f(2, 3)), "Scatter"),
    Row("src symbolic", lambda x, s, i: x.scatter(1, i, s), (X, f("b", 1), places(5, "b", 1))),
    Row("src first axis", lambda x, s: x.scatter(-2, DISTINCT, s), (f(5, 3), f(2, 3)), "Scatter"),
    Row("src larger", lambda x, s: x.scatter(1, DISTINCT, s), (f(3, 5), f(4, 6)), "Slice Scatter"),
    Row("src of ints", lambda x, s: x.scatter(1, DISTINCT, s), (i64(2, 5), i64(2, 3))),
    Row("src of bools", lambda x, s: x.scatter(1, DISTINCT, s), (boolean(2, 5), boolean(2, 3))),
    Row("src in half", lambda x, s: x.scatter(1, DISTINCT, s), (half(2, 5), half(2, 3))),
    Row("src of a number", lambda x, s, i: x.scatter(0, i, s), (f(), f(), places(1))),
    Row("number into a row", lambda x, s, i: x.scatter(0, i, s), (f(4), f(), places(4))),
    Row("value into a row", lambda x, i: x.scatter(0, i, 7), (f(4), places(4))),
    Row("number added to a row", lambda x, s, i: x.scatter_add(0, i, s), (f(4), f(), places(4))),
    Row("src of a vector", lambda x, s, i: x.scatter(0, i, s), (f(), f(1), places(1, 1))),
    Row("sum of a vector", lambda x, i, s: x.scatter_add(0, i, s), (f(), places(1, 1), f(1))),
    Row(
        "src of nothing",
        lambda x, s: x.scatter(0, torch.zeros(0, 2, dtype=torch.int64), s) + 1,
        (f(3, 2), f(4, 2)),
    ),
    Row("value", lambda x: x.scatter(1, DISTINCT, 2.5), (f(2, 5),), "Scatter"),
    Row("value equal", lambda x, i: x.scatter(1, i, 2), (X, places(5, "b", 7))),
    Row("value of bools", lambda x, i: x.scatter(1, i, True), (boolean("b", 5), places(5, "b", 2))),
    *(
        Row(
            f"{reduce} {'with' if own else 'without'} self{kind}",
            lambda x, i, s, r=reduce, own=own: x.scatter_reduce(1, i, s, r, include_self=own),
            args,
        )
        for reduce in ("sum", "prod", "mean", "amax", "amin")
        for own in (True, False)
        for kind, args in [
            ("", (X, places(5, "b", 7), SRC)),
            (" of ints", (i64(3, 5), places(5, 3, 7), i64(3, 7))),
            (", fewer", (f(4, "h", 3), places(8, 2, 7, 2), f(2, 9, 3))),
        ]
    ),
    Row(
        "sum of infinities",
        lambda x, i, s: x.scatter_reduce(0, i, s, "sum"),
        (f(3), torch.tensor([0, 0, 2]), torch.tensor([1.0, float("inf"), 2.0])),
    ),
    Row(
        "sum of a number",
        lambda x, i, s: x.scatter_reduce(0, i, s, "sum", include_self=False),
        (f(), places(1), f()),
    ),
    Row("scatter_add", lambda x, i, s: x.scatter_add(1, i, s), (X, places(5, "b", 7), SRC)),
    Row(
        "scatter_add first axis",
        lambda x, i, s: x.scatter_add(0, i, s),
        (f("n", 3), places(4, "b", 3), f("b", 3)),
    ),
    Row(
        "scatter_add in half",
        lambda x, i, s: x.half().scatter_add(1, i, s.half()),
        (i64("b", 5), places(5, "b", 3), i64("b", 3)),
    ),
    Row(
        "scatter_add of bytes",
        lambda x, i, s: x.scatter_add(0, i, s),
        (Arg(torch.uint8, (5,), 0, 9), places(5, 3), Arg(torch.uint8, (3,), 0, 9)),
        refusal="cast to int32",
    ),
    Row(
        "scatter_add of much",
        lambda x, i, s: x.scatter_add(0, i, s),
        (f(5000), places(5000, 5000), f(5000)),
        refusal="reduce fewer",
    ),
    *(
        Row(
            f"reduce {reduce}",
            lambda x, i, s, r=reduce: aten.scatter.reduce(x, 1, i, s, reduce=r),
            (X, places(5, "b", 7), SRC),
        )
        for reduce in ("add", "multiply")
    ),
    *(
        Row(
            f"value reduce {reduce}",
            lambda x, i, r=reduce: x.scatter(1, i, 1.5, reduce=r),
            (X, places(5, "b", 7)),
        )
        for reduce in ("add", "multiply")
    ),
]

PUTS = [
    Row("put rows", put(ONE), (f(5, 3), f(3, 3))),
    Row("put rows of symbolic size", put(ONE), (f("n", "h"), f(3, "h"))),
    Row("put one value", put(ONE), (f(5, 3), f())),
    Row("put one row", put(ONE), (f(5, 3), f(3))),
    Row("put points", put(ONE, OTHER), (f(5, 3), f(3))),
    Row("put points, symbolic", put(ONE, OTHER), (f("n", "h", 2), f(3, 2))),
    Row(
        "put columns",
        lambda x, v: aten.index_put.default(x, [None, ONE], v),
        (f("b", 6), f("b", 3)),
    ),
    Row(
        "put where two cross",
        lambda x, v: x.index_put([ONE[:, None], OTHER], v),
        (f(5, 3, "b"), f(3, 3, "b")),
    ),
    Row(
        "put apart",
        lambda x, v: aten.index_put.default(x, [ONE, None, OTHER], v),
        (f(5, "b", 3), f(3, "b")),
    ),
    Row("put ints", put(ONE), (i64(5, 3), i64(3, 3))),
    Row("put bools", put(ONE), (boolean(5, 3), boolean(3, 3))),
    Row(
        "put at computed places",
        lambda x, i: aten.index_put.default(x, [i], torch.ones(())),
        (f("n", 2), at(4, 6)),
    ),
    Row(
        "put nothing",
        lambda x: x.index_put([torch.zeros(0, dtype=torch.int64)], x[0, 0]) + 1,
        (f(3, 2),),
    ),
    Row(
        "_unsafe_index_put",
        lambda x, v: aten._unsafe_index_put.default(x, [None, ONE], v),
        (f("b", 6), f("b", 3)),
    ),
    Row("add rows", added(), (f(5, 3), f(8, 3), at(5, 8))),
    Row("add symbolic rows", added(), (f("n", "h"), f("b", "h"), at(4, "b"))),
    Row("add one row", added(), (f(5, 3), f(3), at(5, 8))),
    Row("add one value", added(), (f(5, 3), f(), at(5, 2, 4))),
    Row("add points", added(), (f(5, 3), f(8), at(5, 8), at(3, 8))),
    Row("add points to ints", added(), (i64(5, 3), i64(8), at(5, 8), at(3, 8))),
    Row("add columns", added(None), (f("b", 6, 2), f("b", 9, 2), at(6, 9))),
    Row(
        "add apart",
        lambda x, v, i, j: aten.index_put.default(x, [i, None, j], v, True),
        (f(3, "b", 4), f(7, "b"), at(3, 7), at(4, 7)),
    ),
    Row("add int32", added(), (i32(5), i32(8), at(5, 8))),
    Row("add much", added(), (f(70000), f(300), at(5, 300)), refusal="reduce fewer"),
    Row("where true", masked, (X, boolean("b", 5), f())),
    Row("where true, rows", masked, (f("b", 5, 2), boolean("b", 5), f(2))),
    Row("where true, one row", masked, (f("b", 5, 2), boolean("b", 5), f(1, 2))),
    Row("where true, all behind", masked, (f("b", 5, 2), boolean("b"), f(5, 2))),
    Row(
        "where true, later",
        lambda x, m, v: aten.index_put.default(x, [None, m], v),
        (f("b", 5, 2), boolean(5), f("b", 1, 2)),
    ),
    Row("where true, ints", masked, (i64("b", 5), boolean("b", 5), i64())),
    Row(
        "where true, many",
        masked,
        (f(5), torch.tensor([True, False, True, True, False]), f(3)),
        refusal="as many values as the mask has trues",
    ),
    Row(
        "where true, what was there",
        lambda x, m: aten.index_put.default(x, [m], x[m] * 2),
        (f(5), boolean(5)),
        refusal="as many values as the mask has trues",
    ),
    Row(
        "where true, added",
        lambda x, m, v: aten.index_put.default(x, [m], v, True),
        (f(5), boolean(5), f()),
    ),
    Row(
        "where true, added to rows",
        lambda x, m, v: aten.index_put.default(x, [m], v, True),
        (f("b", 5, 2), boolean("b", 5), f(2)),
    ),
    Row(
        "where true, added ints",
        lambda x, m, v: aten.index_put.default(x, [m], v, True),
        (i64("b", 5), boolean("b", 5), i64()),
    ),
    Row(
        "where true, among indices",
        lambda x, m, v: aten.index_put.default(x, [m, ONE[:1]], v),
        (f(2, 5), boolean(2), f()),
        refusal="a mask beside other indices",
    ),
]


@pytest.mark.parametrize("row", [*SCATTERS, *PUTS], ids=lambda row: row.name)
def test_scatter(row):
    check_row(row)
