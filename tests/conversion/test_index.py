# SPDX-License-Identifier: Apache-2.0
"""Converters of `index.py`."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional as F

from tests.conversion.checking import check_row
from tests.conversion.rows import Row, boolean, f, i32, i64

aten = torch.ops.aten
PLACES = torch.tensor([0, -1, 2])
BOUNDS = (None, 0, 2, -2, -9, 99)


def slicing(start, end, step=1):
    return lambda x: x[:, start:end:step] + 0


def at(low, high):
    """Indices of both signs into `high` elements."""
    return i64(4, low=low, high=high - 1)


ROWS = [
    *(
        Row(f"slice {start}:{end}:{step}", slicing(start, end, step), (f(2, 7),))
        for start, end, step in itertools.product(BOUNDS, BOUNDS, (1, 3))
        if len(range(7)[start:end:step])
    ),
    *(
        Row(f"slice {start}:{end}:{step} dynamic", slicing(start, end, step), (f(2, "n"),))
        for start, end, step in [
            (1, None, 1),
            (None, -1, 1),
            (1, -1, 1),
            (-3, None, 1),
            (None, None, 2),
            (1, None, 2),
            (None, 3, 1),
            (-3, -1, 1),
        ]
    ),
    Row("slice 1:-1:3 dynamic", slicing(1, -1, 3), (f(2, "h"),)),
    Row("slice whole", lambda x: x[:, :99] + 1, (f("b", 3),), "ElementWise"),
    Row("slice whole symbolic", lambda x: aten.slice.Tensor(x, 0) + 1, (f("b", 3),), "ElementWise"),
    Row("slice to the size of another", lambda x, y: x[:, : y.shape[0]], (f(2, 9), f("b", 1))),
    Row("slice from a size on", lambda x, y: x[:, y.shape[0] :], (f(2, 9), f("b", 1))),
    Row("slice before a size", lambda x, y: x[:, : -y.shape[0]], (f(2, 9), f("b", 1))),
    Row("slice from minus a size on", lambda x, y: x[:, -y.shape[0] :], (f(2, 9), f("b", 1))),
    Row("slice between sizes", lambda x, y: x[y.shape[0] : -y.shape[0]], (f("h", 2), f("b"))),
    Row("slice from where the sign is not known", lambda x, y: x[y.shape[0] - 2 :], (f(9), f("b"))),
    Row("slice by a size", lambda x, y: x[:, :: y.shape[0]], (f(2, 9), f("b", 1))),
    Row("slice by a size from 1 on", lambda x, y: x[:, 1 :: y.shape[0]], (f(2, "h"), f("b", 1))),
    Row("slice of bools", lambda x: x[:, 1:], (boolean("b", 3),)),
    Row("slice to nothing", lambda x: x[:, 3:2].sum(1), (f(2, 4),)),
    Row("select", lambda x: x[:, 1], (f("b", 3, "n"),)),
    Row("select negative", lambda x: x.select(-1, -2), (f("b", 3),)),
    Row("select last of a symbolic axis", lambda x: x[-1], (f("n", 3),)),
    Row("select of a vector", lambda x: x[2], (f(3),)),
    Row("select at a computed place", lambda x, y: x[:, y.shape[0] - 1], (f(2, 9), f("b", 1))),
    Row(
        "select at a computed negative place",
        lambda x, y: x[:, -y.shape[0]],
        (f(2, 9), f("b", 1)),
    ),
    Row("select where the sign is not known", lambda x, y: x[:, y.shape[0] - 2], (f(2, 9), f("b"))),
    Row(
        "select at a place read by _local_scalar_dense",
        lambda x, i: x[:, aten._local_scalar_dense.default(i)],
        (f("b", 3), i64(1, low=-3, high=2)),
    ),
    Row("select at a read place", lambda x, i: x[:, i.item()], (f("b", 3), i64(1, low=-3, high=2))),
    Row(
        "select at a read place int32",
        lambda x, i: x[:, i.item()],
        (f("b", 3), i32(low=0, high=2)),
    ),
    Row(
        "compute with what is read",
        lambda x, i: x * i.item(),
        (f("b", 3), i64(1)),
        refusal="read out of a tensor",
    ),
    Row("narrow", lambda x: x.narrow(1, 2, 3), (f("b", 7),), "Slice"),
    Row("narrow from the end", lambda x: x.narrow(-1, -3, 2), (f("b", 7),), "Slice"),
    Row("narrow overload", lambda x: aten.narrow.default(x, 1, 2, 3), (f("b", 7),), "Slice"),
    Row(
        "narrow a computed start",
        lambda x, y: aten.narrow.default(x, 1, y.shape[0], 3),
        (f(2, 9), f("b", 1)),
    ),
    Row(
        "narrow a computed negative start",
        lambda x, y: aten.narrow.default(x, 1, -y.shape[0], 1),
        (f(2, 9), f("b", 1)),
    ),
    Row(
        "_unsafe_index",
        lambda x, i: aten._unsafe_index.Tensor(x, [None, i]),
        (f("b", 5), at(-5, 5)),
    ),
    Row(
        "slice_scatter",
        lambda x, v: aten.slice_scatter.default(x, v, 1, 1, 4),
        (f("b", 5), f("b", 3)),
    ),
    Row("slice_scatter whole", lambda x, v: x.slice_scatter(v, -1), (f("b", 5), f("b", 5))),
    Row("slice_scatter step", lambda x, v: x.slice_scatter(v, 1, 0, 5, 2), (f("b", 5), f("b", 3))),
    Row(
        "slice_scatter from the end",
        lambda x, v: x.slice_scatter(v, 1, -3, -1),
        (f(2, "h"), f(2, 2)),
    ),
    Row(
        "slice_scatter between sizes",
        lambda x, v: x.slice_scatter(v, 0, v.shape[0], 2 * v.shape[0]),
        (f(9, 5), f("b", 5)),
    ),
    Row(
        "slice_scatter step on a symbolic axis",
        lambda x, v: x.slice_scatter(v, 0, 1, 6, 2),
        (i64("h", 5), i64(3, 5)),
    ),
    Row("select_scatter", lambda x, v: x.select_scatter(v, 1, 2), (f("b", 5), f("b"))),
    Row("select_scatter last", lambda x, v: x.select_scatter(v, 1, -1), (f("b", "h"), f("b"))),
    Row(
        "select_scatter at minus a size",
        lambda x, v: x.select_scatter(v, 0, -v.shape[0]),
        (f("h", "b"), f("b")),
    ),
    Row("index_select", lambda x, i: x.index_select(1, i), (f("b", 3), i64(4, low=0, high=2))),
    Row("index_select by one", lambda x, i: x.index_select(0, i), (f(3, 2), i64(low=0, high=2))),
    Row(
        "index_select int32", lambda x, i: x.index_select(-1, i), (i64(2, 3), i32(4, low=0, high=2))
    ),
    Row("embedding", F.embedding, (i64("b", "n", low=0, high=4), f(5, 3)), "Gather"),
    Row("embedding by one", F.embedding, (i64(low=0, high=4), f(5, 3)), "Gather"),
    Row(
        "embedding padding_idx", lambda i, w: F.embedding(i, w, 2), (i32(3, low=0, high=4), f(5, 3))
    ),
    Row("gather", lambda x, i: x.gather(1, i), (f("b", 3), i64("b", 5, low=0, high=2)), "Gather"),
    Row("gather fewer rows", lambda x, i: x.gather(1, i), (f(4, 3), i64(2, 5, low=0, high=2))),
    Row("gather first axis", lambda x, i: x.gather(0, i), (f(4, 3), i64(2, 3, low=0, high=3))),
    Row("gather a scalar often", lambda x, i: x.gather(0, i), (f(), i64(4, low=0, high=0))),
    Row("gather at a number", lambda x, i: x.gather(0, i), (f(4), i64(low=0, high=3))),
    Row("gather a scalar", lambda x, i: x.gather(0, i), (f(), i64(low=0, high=0))),
    Row("index", lambda x, i: x[i], (f(5, 3), at(-5, 5))),
    Row("index symbolic axis", lambda x, i: x[i], (f("n", 3), at(-4, 4))),
    Row("index by a constant", lambda x: x[:, PLACES], (f("b", 4),)),
    Row("index a later axis", lambda x, i: x[:, :, i], (f("b", 3, 5), at(-5, 5))),
    Row("index of two dimensions", lambda x, i: x[:, i], (f(2, 5), i64(3, 2, low=-5, high=4))),
    Row(
        "index by one", lambda x, i: aten.index.Tensor(x, [None, i]), (f(2, 5), i64(low=-5, high=4))
    ),
    Row("index int32", lambda x, i: x[i], (f(5, 3), i32(4, low=0, high=4))),
    Row("index twice", lambda x, i, j: x[i, j], (f(5, 3), at(-5, 5), at(-3, 3))),
    Row("index thrice", lambda x, i: x[i, i, i], (f(3, 3, 3), at(-3, 3))),
    Row("index twice, later", lambda x, i, j: x[:, i, j], (f("b", 5, 3, 2), at(-5, 5), at(-3, 3))),
    Row(
        "index twice, broadcast", lambda x, i, j: x[i[:, None], j], (f(5, 3), at(-5, 5), at(-3, 3))
    ),
    Row(
        "index twice, one and many",
        lambda x, i, j: aten.index.Tensor(x, [i, j]),
        (f(5, 3), i64(low=-5, high=4), at(-3, 3)),
    ),
    Row(
        "index twice, symbolic axes",
        lambda x, i, j: x[i, j],
        (f("n", "h", 2), at(-4, 4), at(-8, 8)),
    ),
    Row(
        "index twice, int32 and int64",
        lambda x, i, j: x[i, j],
        (f(5, 3), i32(4, low=0, high=4), at(-3, 3)),
    ),
    Row(
        "index twice with a slice between",
        lambda x, i, j: x[i, :, j],
        (f(5, 2, 3), at(-5, 5), at(-3, 3)),
    ),
    Row(
        "index apart, later", lambda x, i, j: x[:, i, :, j], (f("b", 5, 2, 3), at(-5, 5), at(-3, 3))
    ),
    Row("index at nothing", lambda x: x[torch.zeros(0, dtype=torch.int64)].sum(0), (f("b", 3),)),
    *(
        Row(name, run, (f(3, 4),), refusal="builds no such layer without a GPU")
        for name, run in {
            "nonzero": lambda x: x.nonzero(),
            "argwhere": torch.argwhere,
            "where": lambda x: torch.where(x > 0),
            "masked_select": lambda x: x.masked_select(x > 0),
        }.items()
    ),
    Row("view as ints", lambda x: x.view(torch.int32), (f(2, 3),), refusal="convert the values"),
    Row("index by a mask", lambda x, m: x[m], (f(5), boolean(5)), refusal="depends on data"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_index(row):
    check_row(row)
