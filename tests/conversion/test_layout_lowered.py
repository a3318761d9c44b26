# SPDX-License-Identifier: Apache-2.0
"""Layout, joining and padding as lowering rewrites them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tests.conversion.checking import check_lowered
from tests.conversion.rows import Arg, Row, boolean, f, i32, i64

aten = torch.ops.aten
X = f("b", 4)
IMAGE = f("b", 4, "h", "w")


def half(*shape):
    return Arg(torch.float16, shape)


def resized(x):
    return (x + 0).resize_(2, 3)


LAYOUT = [
    Row("as_strided", lambda x: x.as_strided((3, 2), (2, 1), 1), (f(4, 4),)),
    Row("as_strided of overlapping windows", lambda x: x.as_strided((5, 4), (1, 1)), (f(8),)),
    Row("as_strided dynamic", lambda x: x.as_strided((x.shape[0], 2, 2), (4, 2, 1)), (X,)),
    Row("as_strided dynamic, from 1 on", lambda x: x.as_strided((x.shape[0], 3), (4, 1), 1), (X,)),
    Row(
        "as_strided by a size",
        lambda x: x.as_strided((3, x.shape[1]), (x.shape[1], 1)),
        (f(3, "h"),),
    ),
    Row("resize_", resized, (f(3, 2),)),
    Row("movedim", lambda x: x.movedim((0, 1), (-1, 0)), (f("b", 3, 4),)),
    Row("swapaxes", lambda x: x.swapaxes(0, -1), (f("b", 3, 4),)),
    Row("unflatten", lambda x: x.unflatten(-1, (2, -1)), (X,)),
    Row("view_as", lambda x, y: x.view_as(y), (X, f("b", 2, 2))),
    Row("expand_as", lambda x, y: x.expand_as(y), (f(1, 4), X)),
    Row("rot90", lambda x: torch.rot90(x, 1, (1, 2)), (f("b", 3, "n"),)),
    Row("rot90 backwards", lambda x: torch.rot90(x, -1, (2, 1)), (i64("b", 3, 4),)),
    Row("fliplr", torch.fliplr, (f("n", "h"),)),
    Row("flipud", torch.flipud, (boolean("n", 3),)),
    Row("channel_shuffle", lambda x: F.channel_shuffle(x, 2), (IMAGE,)),
    Row("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), (IMAGE,)),
    Row("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2), (f("b", 3, 8, 6),)),
    Row("atleast_3d", torch.atleast_3d, (f("n"),)),
    Row("atleast_2d of a number", torch.atleast_2d, (f(),)),
    Row("ravel", torch.ravel, (X,)),
    Row("squeeze several", lambda x: x.squeeze((0, -2)), (f(1, "b", 1, 2),)),
    Row("tile", lambda x: x.tile(2, 1, 3), (X,)),
    Row("diff", lambda x: x.diff(), (f(2, "h"),)),
]
PIECES = [
    Row("unbind", lambda x: x.unbind(-1), (X,)),
    Row("chunk", lambda x: x.chunk(3, 1), (f("b", 7),)),
    Row("split", lambda x: x.split([1, 3], -1), (X,)),
    Row("tensor_split", lambda x: x.tensor_split(3, 1), (f("b", 7),)),
    Row("tensor_split at places", lambda x: x.tensor_split((2, -2), 0), (f("h", 3),)),
    Row("hsplit", lambda x: x.hsplit(2), (X,)),
    Row("vsplit", lambda x: x.vsplit([1, 3]), (f(4, "b"),)),
    Row("dsplit", lambda x: x.dsplit(2), (f("b", 3, 4),)),
    Row(
        "two halves of a symbolic axis",
        lambda x: (x[: x.shape[0] // 2], x[x.shape[0] // 2 :]),
        (f("h", 3),),
    ),
]
JOINS = [
    Row("cat of mixed types", lambda x, y: torch.cat([x, y]), (X, i64("b", 4))),
    Row("cat of ints and bools", lambda x, y: torch.cat([x, y]), (i32("b", 4), boolean(2, 4))),
    Row("cat in half", lambda x, y: torch.cat([x, y], -1), (half("b", 4), half("b", 2))),
    Row("cat with a vector of nothing", lambda x: torch.cat([torch.zeros(0), x, x]), (X,)),
    Row("cat with no rows", lambda x: torch.cat([torch.zeros(0, 4), x, x]), (X,)),
    Row("cat with an empty slice", lambda x: torch.cat([x, x[:, :0], x], 1), (X,)),
    Row("stack of mixed types", lambda x, y: torch.stack([x, y], -1), (X, i64("b", 4))),
    Row("stack of numbers", lambda x, y: torch.stack([x, y]), (f(), f())),
    Row("hstack", lambda x, y: torch.hstack([x, y]), (X, f("b", 2))),
    Row("hstack of vectors", lambda x, y: torch.hstack([x, y]), (f("n"), f(2))),
    Row("vstack", lambda x, y: torch.vstack([x, y]), (X, f(2, 4))),
    Row("dstack", lambda x, y: torch.dstack([x, y]), (X, X)),
    Row("column_stack", lambda x, y: torch.column_stack([x, y]), (f("b"), X)),
    Row("block_diag", lambda x, y: torch.block_diag(x, y), (f(2, 3), f(1, 2))),
    Row("copy", lambda x, y: aten.copy.default(x, y), (X, i64("b", 4))),
]
PADS = [
    Row("_pad_circular", lambda x: aten._pad_circular.default(x, [1, 2]), (f("b", 2, 5),)),
    *(
        Row(
            f"_pad_enum {mode}",
            lambda x, m=mode: aten._pad_enum.default(x, [1, 2], m),
            (f("b", 2, 5),),
        )
        for mode in (1, 2, 3)
    ),
    Row(
        "pad by a size, repeated",
        lambda x, y: F.pad(x, (0, y.shape[0]), "replicate"),
        (f(2, 3, 5), f("b")),
    ),
    Row("pad in half", lambda x: F.pad(x, (1, 2), value=1.0), (half("b", 4),)),
    Row("cut and pad", lambda x: F.pad(x, (-1, -1, -2, 3)), (IMAGE,)),
    Row(
        "reflect in three dimensions",
        lambda x: F.pad(x, (1, 2, 1, 0, 1, 1), "reflect"),
        (f("b", 2, 4, "h", "w"),),
    ),
]


def checked(x, i):
    torch._check(x.shape[0] > 0)
    torch._assert_async((i >= 0).all(), "negative")
    place = i.item()
    torch._check(place >= 0)
    torch._check(place < 3)
    return x[:, place]


CHECKS = [
    Row("assertions", checked, (f("b", 3), i64(1, low=0, high=2))),
    Row(
        "a size read out of a tensor",
        lambda x, i: x[: i.item()],
        (f(3, 3), i64(1, low=1, high=2)),
        refusal="read out of a tensor",
    ),
]
MASKS = [
    Row(
        "causal mask",
        lambda x: x.masked_fill(torch.ones(x.shape[1:], dtype=torch.bool).triu(1), -9.0),
        (f("b", "n", "n"),),
    ),
    Row(
        "relative positions",
        lambda x: (torch.arange(x.shape[0])[None] - torch.arange(x.shape[0])[:, None]).clamp(-3, 3),
        (f("n"),),
    ),
    Row(
        "relative shift",
        lambda x: F.pad(x, (1, 0)).view(x.shape[0], -1, x.shape[1])[:, 1:].view_as(x),
        (f("b", "n", "n"),),
    ),
]


@pytest.mark.parametrize(
    "row", [*CHECKS, *MASKS, *LAYOUT, *PIECES, *JOINS, *PADS], ids=lambda row: row.name
)
def test_layout(row):
    check_lowered(row)
