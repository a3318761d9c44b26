# SPDX-License-Identifier: Apache-2.0
"""Operators that `decompositions_indexing.py` writes in smaller ones."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tests.conversion.checking import check_lowered
from tests.conversion.rows import Row, boolean, f, i32, i64

aten, prims = torch.ops.aten, torch.ops.prims
X = f("b", 5)
BOUNDS = torch.tensor([-1.0, 0.0, 0.0, 1.5])
CHOSEN = torch.tensor([3, 1])
MASK = torch.tensor([True, False, True, True, False])
SQUARE = torch.tensor([[True, False, True], [False, False, True]])
BAGS = torch.tensor([0, 3, 3, 5])
VALUES = torch.tensor([-2.0, -1.0, 0.0, 0.5, 1.5, 9.0, float("nan"), float("inf")])


def places(count, *shape):
    return i64(*shape, low=0, high=count - 1)


def bag(indices, weight, **options):
    """The last of several results only."""
    return aten._embedding_bag.default(weight, indices, BAGS, **options)[0]


def filled_diagonal(x):
    y = x.clone()
    y.diagonal().fill_(7)
    return y


DIAGONALS = [
    *(
        Row(f"diagonal {offset} {name}", lambda x, o=offset: x.diagonal(o, -2, -1), (arg,))
        for offset in (-2, 0, 1)
        for name, arg in [("", f("b", 4, 6)), ("dynamic", f(2, "n", "h"))]
    ),
    Row("diagonal, axes backwards", lambda x: x.diagonal(1, 2, 0), (f(4, "b", 5),)),
    Row("diagonal of bools", lambda x: x.diagonal(), (boolean(4, 5),)),
    Row("diagonal_copy", lambda x: aten.diagonal_copy.default(x), (f("n", "h"),)),
    Row("diag of a matrix", lambda x: torch.diag(x, -1), (f(4, 4),)),
    Row("diag of a vector", lambda x: torch.diag(x, 1), (f("n"),)),
    Row("diag_embed", lambda x: torch.diag_embed(x, -1), (f("b", 4),)),
    Row("diag_embed dynamic", lambda x: torch.diag_embed(x), (f(2, "n"),)),
    Row("trace", torch.trace, (f(4, 5),)),
    Row("trace of ints", torch.trace, (i64("n", "h"),)),
    Row("diagonal_scatter", lambda x, v: x.diagonal_scatter(v, 1), (f(4, 5), f(4))),
    Row(
        "diagonal_scatter later",
        lambda x, v: x.diagonal_scatter(v, 0, 0, 2),
        (f(4, "b", 5), f("b", 4)),
    ),
    Row("diagonal filled", filled_diagonal, (f("n", "n"),)),
]
WINDOWS = [
    Row("unfold", lambda x: x.unfold(1, 3, 2), (f("b", 9, 2),)),
    Row("unfold dynamic", lambda x: x.unfold(-1, 3, 1), (f("b", "h"),)),
    Row("unfold to one window or more", lambda x: x.unfold(1, 4, 2), (f("b", "n"),)),
    Row("unfold of ints", lambda x: x.unfold(0, 2, 3), (i64("h"),)),
    Row("unfold_copy", lambda x: aten.unfold_copy.default(x, 1, 4, 4), (f("b", 9),)),
    *(
        Row(f"im2col {name}", lambda x, a=amounts: F.unfold(x, *a), (arg,))
        for name, amounts, arg in [
            ("", (3, 1, 1, 2), f("b", 2, 6, 8)),
            ("dilated", ((2, 3), (2, 1), 0, (1, 2)), f(2, 9, 8)),
            ("patches", (4, 1, 0, 4), f("b", 2, 8, 8)),
            ("dynamic", ((2, 3), 1, 0, 1), f("b", 2, "h", "w")),
        ]
    ),
    *(
        Row(f"col2im {name}", lambda x, a=amounts: F.fold(x, *a), (arg,))
        for name, amounts, arg in [
            ("", ((6, 8), 3, 1, 1, 2), f("b", 18, 12)),
            ("overlapping", ((5, 6), (2, 3), 1, 0, 1), f("b", 12, 16)),
            ("dilated", ((7, 6), 2, (3, 2), 1, 1), f("b", 4, 36)),
            ("patches", ((8, 8), 4, 1, 0, 4), f("b", 32, 4)),
            ("without batch", ((4, 4), 2, 1, 0, 2), f(8, 4)),
        ]
    ),
    *(
        Row(
            f"col2im of any size, {name}",
            lambda x, a=a: F.fold(F.unfold(x, *a), x.shape[2:], *a),
            (f(1, 2, "h", "w"),),
        )
        for name, a in [
            ("overlapping", (3, 1, 1, 1)),
            ("patches", (2, 1, 0, 2)),
            ("dilated", ((2, 3), (2, 1), (1, 0), (3, 2))),
        ]
    ),
]
SEARCHES = [
    *(
        Row(f"bucketize {right}", lambda x, r=right: torch.bucketize(x, BOUNDS, right=r), (VALUES,))
        for right in (False, True)
    ),
    Row(
        "bucketize ints",
        lambda x: torch.bucketize(x, torch.tensor([-1, 0, 2]), out_int32=True),
        (i64("b", 5),),
    ),
    Row("bucketize by an input", lambda x, b: torch.bucketize(x, b.sort()[0]), (X, f(4))),
    *(
        Row(
            f"searchsorted {side}",
            lambda s, x, side=side: torch.searchsorted(s.sort(-1)[0], x, side=side),
            (i64("b", 6), i64("b", 4)),
        )
        for side in ("left", "right")
    ),
    Row("searchsorted in one", lambda x: torch.searchsorted(BOUNDS, x, right=True), (VALUES,)),
    Row(
        "searchsorted with a sorter",
        lambda s, x: torch.searchsorted(s, x, sorter=s.argsort(-1)),
        (f(3, 6), f(3, 4)),
    ),
    Row("searchsorted one number", lambda s: torch.searchsorted(s.sort()[0], 0.5), (f(6),)),
    Row(
        "searchsorted much",
        lambda s, x: torch.searchsorted(s, x),
        (torch.arange(5000.0), f(5000)),
        refusal="search fewer values",
    ),
    Row("one_hot", lambda i: F.one_hot(i, 5), (places(5, "b", 3),)),
    Row(
        "isin inverted",
        lambda i: torch.isin(i, torch.tensor([[1], [3]]), invert=True),
        (i64("b", 3),),
    ),
    Row("isin", lambda i: torch.isin(i, torch.tensor([1, 3])), (places(5, "b", 3),)),
]
COPIES = [
    Row("repeat_interleave", lambda x: x.repeat_interleave(3, 1), (X,)),
    Row("repeat_interleave dynamic", lambda x: x.repeat_interleave(2, 0), (X,)),
    Row("repeat_interleave all", lambda x: x.repeat_interleave(2), (X,)),
    Row(
        "repeat_interleave by counts",
        lambda x: x.repeat_interleave(torch.tensor([1, 2, 0, 3]), 1, output_size=6),
        (f("b", 4),),
    ),
    Row(
        "repeat_interleave by known counts",
        lambda x: x.repeat_interleave(torch.tensor([1, 2, 0, 3]), 1) * 2,
        (f("b", 4),),
    ),
    Row(
        "repeat_interleave by one count",
        lambda x: x.repeat_interleave(torch.tensor([2]), 0),
        (X,),
    ),
    Row(
        "repeat_interleave by an input",
        lambda x, n: x.repeat_interleave((n * 0).int() + 2, output_size=6),
        (f(3), f(3)),
    ),
    Row(
        "repeat_interleave to an unknown size",
        lambda x, n: x.repeat_interleave(n),
        (f(3), torch.tensor([4, 1, 2])),
        refusal="give output_size",
    ),
    Row("meshgrid", lambda x, y: torch.meshgrid(x, y, indexing="ij"), (f("n"), f(3))),
    Row(
        "meshgrid xy", lambda x, y, z: torch.meshgrid(x, y, z, indexing="xy"), (f("n"), f(3), f(2))
    ),
    Row("meshgrid overload", lambda x, y: aten.meshgrid.default([x, y]), (f("n"), f(3))),
    Row("cartesian_prod", torch.cartesian_prod, (f("n"), f(3))),
    Row("broadcast_in_dim", lambda x: prims.broadcast_in_dim.default(x, [2, 3, 4], [1]), (f(3),)),
    Row(
        "broadcast_in_dim dynamic",
        lambda x: prims.broadcast_in_dim.default(x, [x.shape[0], 3, 4], [0, 2]),
        (f("b", 1),),
    ),
]
WRITES = [
    Row("index_add", lambda x, i, v: x.index_add(1, i, v, alpha=2), (X, places(5, 7), f("b", 7))),
    Row("index_add one", lambda x, i, v: x.index_add(0, i, v), (f(5), places(5), f(1))),
    Row("index_copy", lambda x, v: x.index_copy(1, CHOSEN, v), (X, f("b", 2))),
    Row("index_copy first", lambda x, v: x.index_copy(0, CHOSEN, v), (i64(5, "b"), i64(2, "b"))),
    Row("index_fill", lambda x, i: x.index_fill(-1, i, 2.0), (X, i64(3, low=-5, high=4))),
    Row(
        "index_fill by a tensor",
        lambda x, i, v: x.index_fill(0, i, v),
        (f("n", 2), places(4, 3), f()),
    ),
    Row(
        "index_fill by an integer",
        lambda x, i, v: x.index_fill(0, i, v),
        (f("n", 2), places(4, 3), i32()),
    ),
    *(
        Row(
            f"index_reduce {reduce}",
            lambda x, i, s, r=reduce: aten.index_reduce.default(x, 0, i, s, r, include_self=False),
            (f(5, "b"), places(5, 7), f(7, "b")),
        )
        for reduce in ("prod", "mean", "amax", "amin")
    ),
    Row("put", lambda x, v: x.put(torch.tensor([0, -1, 7]), v), (f(5, 3), f(3))),
    Row("put added", lambda x, i, v: x.put(i, v, True), (f(5, 3), i64(6, low=-15, high=14), f(6))),
    Row("masked_fill", lambda x, m: x.masked_fill(m, -1e9), (X, boolean("b", 1))),
    Row("masked_fill by a tensor", lambda x, m, v: x.masked_fill(m, v), (X, boolean(5), f())),
    Row("masked_scatter", lambda x, m, v: x.masked_scatter(m, v), (X, boolean("b", 5), f(20))),
    Row("masked_scatter rows", lambda x, m, v: x.masked_scatter(m, v), (X, boolean("b", 1), f(40))),
    Row("take", lambda x, i: x.take(i), (f(3, "n"), i64(2, 4, low=-12, high=11))),
    Row("take one", lambda x, i: x.take(i), (f(3, "n"), i64(low=-12, high=11))),
    Row("take_along_dim", lambda x, i: x.take_along_dim(i, 1), (f(3, 5), places(5, 3, 2))),
    Row("take_along_dim all", torch.take_along_dim, (f(3, 5), places(15, 4))),
]
BAG_ROWS = [
    *(
        Row(
            f"bag {mode}",
            lambda i, w, m=mode: F.embedding_bag(i, w, mode=m),
            (places(5, "b", 3), f(5, 4)),
        )
        for mode in ("sum", "mean", "max")
    ),
    *(
        Row(
            f"bag {mode} by offsets",
            lambda i, w, m=mode: bag(i, w, mode=m),
            (places(5, 7), f(5, 4)),
        )
        for mode in (0, 1, 2)
    ),
    Row(
        "bag with weights and padding",
        lambda i, w, p: F.embedding_bag(
            i, w, BAGS, mode="sum", per_sample_weights=p, include_last_offset=True, padding_idx=1
        ),
        (places(5, 5), f(5, 4), f(5)),
    ),
    Row(
        "bag int32",
        lambda i, w: F.embedding_bag(i, w, BAGS.int()),
        (i32(7, low=0, high=4), f(5, 4)),
    ),
    *(
        Row(
            f"bag of any size {mode} {padding}",
            lambda i, w, m=mode, p=padding: F.embedding_bag(i, w, mode=m, padding_idx=p),
            (places(5, "b", "n"), f(5, 4)),
        )
        for mode in ("sum", "mean", "max")
        for padding in (None, -1)
    ),
    Row(
        "bag of any size with weights",
        lambda i, w, p: F.embedding_bag(i, w, mode="sum", per_sample_weights=p, padding_idx=1),
        (places(5, "b", "n"), f(5, 4), f("b", "n")),
    ),
    *(
        Row(
            f"bag {mode} of many rows",
            lambda i, w, m=mode: F.embedding_bag(
                i, w, torch.arange(0, 1024, 4), mode=m, padding_idx=3
            ),
            (places(5, 1024), f(5, 72)),
            refusal="give bags of one size as a matrix" if mode == "max" else "",
        )
        for mode in ("sum", "mean", "max")
    ),
    Row(
        "bag, all results",
        lambda i, w: aten._embedding_bag.default(w, i, BAGS),
        (places(5, 7), f(5, 4)),
        refusal="more is read than the first result",
    ),
    Row(
        "bag forward only",
        lambda i, w: aten._embedding_bag_forward_only.default(w, i, BAGS)[0],
        (places(5, 7), f(5, 4)),
    ),
    Row(
        "bag overload",
        lambda i, w: aten.embedding_bag.default(w, i, BAGS)[0],
        (places(5, 7), f(5, 4)),
    ),
]


def masked_write(x, values):
    y = x.clone()
    y[:, MASK] = values
    return y * 2


CONSTANT_MASKS = [
    Row("mask", lambda x: x[:, MASK].relu().sum(0), (f("b", 5),)),
    Row("mask of two axes", lambda x: x[:, SQUARE] * 2, (f("b", 2, 3),)),
    Row("mask of nothing", lambda x: x[:, MASK & ~MASK].sum(1), (f("b", 5),)),
    Row("computed mask", lambda x: x[:, MASK | (BOUNDS.sum() > 0)].flatten(), (f("b", 5),)),
    Row("sizes behind a mask", lambda x: x[:, MASK].reshape(-1, 1, 3), (f("b", 5),)),
    Row("masked_select", lambda x: x.masked_select(SQUARE).exp(), (f(2, 3),)),
    Row("nonzero", lambda x: x[:, SQUARE.nonzero()[:, 1]] + 1, (f("b", 3),)),
    Row("write by mask", masked_write, (f("b", 5), f("b", 3))),
    Row("data-dependent mask", lambda x: x[x > 0], (X,), refusal="choose by torch.where"),
]
STATIC = [
    *(
        Row(f"nonzero_static {n}", lambda x, n=n: torch.nonzero_static(x > 0, size=n), (arg,))
        for n, arg in ((4, f(3, 5)), (40, f("b", 5)), (0, f(4)))
    ),
    Row(
        "nonzero_static, filled", lambda x: torch.nonzero_static(x, size=9, fill_value=7), (i64(6),)
    ),
    Row(
        "nonzero_static of too many",
        lambda x: torch.nonzero_static(x, size=5000),
        (f(64, 64),),
        refusal="search fewer",
    ),
    *(
        Row(f"linspace {n}", lambda x, n=n: torch.linspace(x[0], x[1], n), (f(2),))
        for n in (0, 1, 2, 7)
    ),
    Row("linspace from", lambda x: torch.linspace(x[0], 3, 5), (i64(2),)),
    Row("linspace to", lambda x: torch.linspace(-1.5, x[0], 6), (f(2),)),
]


@pytest.mark.parametrize(
    "row",
    [*DIAGONALS, *WINDOWS, *SEARCHES, *COPIES, *WRITES, *BAG_ROWS, *CONSTANT_MASKS, *STATIC],
    ids=lambda row: row.name,
)
def test_indexing(row):
    check_lowered(row)
