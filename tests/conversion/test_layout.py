# SPDX-License-Identifier: Apache-2.0
"""Converters of `layout.py`."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tests.conversion.checking import check_row
from tests.conversion.rows import Row, boolean, f, i64

aten = torch.ops.aten

ROWS = [
    Row("view", lambda x: x.view(x.shape[0], -1), (f("b", 3, 4),), "Shuffle"),
    Row("view static", lambda x: x.view(6, 4), (f(2, 3, 4),), "Shuffle"),
    Row("view to a scalar", lambda x: x.view([]), (f(1, 1),), "Shuffle"),
    Row("view of a scalar", lambda x: x.view(1, 1), (f(),), "Shuffle"),
    Row("view of bools", lambda x: x.view(-1), (boolean("b", 3),), "Shuffle"),
    Row("view same", lambda x: x.view(2, 3) + 1, (f(2, 3),), "ElementWise"),
    Row(
        "view two unknown sizes at their places",
        lambda x: x.view(x.shape[0], x.shape[1], 2, 2),
        (f("b", "n", 4),),
        "Shuffle",
    ),
    Row(
        "view two unknown sizes apart",
        lambda x: x.view(x.shape[0], 2, 2, x.shape[2]),
        (f("b", 4, "n"),),
        "Shuffle",
    ),
    Row("view swapped sizes", lambda x: x.reshape(x.shape[1], x.shape[0] * 4), (f("n", "h", 4),)),
    Row("view -1 beside unknown sizes", lambda x: x.view(x.shape[1], -1, 2), (f("b", "n", 4),)),
    Row("view product of sizes", lambda x: x.view(x.shape[0] * x.shape[1], 4), (f("b", "n", 4),)),
    Row("_unsafe_view", lambda x: aten._unsafe_view.default(x, [-1, 2]), (f("b", 4),)),
    Row("reshape", lambda x: x.reshape(-1, 2), (i64("b", 4),), "Shuffle"),
    Row("reshape empty", lambda x: x.reshape(0, 4).sum() + x.shape[1], (f(2, 0),)),
    Row("flatten", lambda x: x.flatten(1), (f("b", 3, "h", "w"),), "Shuffle"),
    Row("flatten batch", lambda x: x.flatten(0, 1), (f("b", 3, 4),), "Shuffle"),
    Row("flatten the end", lambda x: x.flatten(-2), (f("b", 3, "h", "w"),), "Shuffle"),
    Row(
        "flatten nothing",
        lambda x: aten.flatten.using_ints(x, 1, 1) + 1,
        (f("b", 3),),
        "ElementWise",
    ),
    Row("flatten a scalar", lambda x: x.flatten(), (f(),), "Shuffle"),
    Row("unflatten", lambda x: x.unflatten(1, (2, -1)), (f("b", 6, "n"),), "Shuffle"),
    Row("unflatten last", lambda x: x.unflatten(-1, (3, 2)), (f("b", "n", 6),), "Shuffle"),
    Row("permute", lambda x: x.permute(0, -1, 1, 2), (f("b", 3, "h", "w"),), "Shuffle"),
    Row("permute identity", lambda x: x.permute(0, 1) + 1, (f(2, 3),), "ElementWise"),
    Row("transpose", lambda x: x.transpose(-1, 1), (f("b", 3, "n"),), "Shuffle"),
    Row("transpose a scalar", lambda x: aten.transpose.int(x, 0, -1) + 1, (f(),), "ElementWise"),
    Row("t", lambda x: x.t(), (f("b", 3),), "Shuffle"),
    Row("t of a vector", lambda x: x.t() + 1, (f(3),), "ElementWise"),
    Row("squeeze", lambda x: x.squeeze(), (f(1, 3, 1, 2),), "Shuffle"),
    Row("squeeze.dim", lambda x: x.squeeze(-2), (f("b", 1, 3),), "Shuffle"),
    Row("squeeze.dim of another size", lambda x: x.squeeze(1) + 1, (f("b", 3),), "ElementWise"),
    Row("squeeze.dims", lambda x: x.squeeze((1, -1)), (f("b", 1, "n", 1),), "Shuffle"),
    Row("squeeze before unknown sizes", lambda x: x.squeeze(0), (f(1, "b", "n"),), "Shuffle"),
    Row("squeeze a scalar", lambda x: x.squeeze(0) + 1, (f(),), "ElementWise"),
    Row("unsqueeze", lambda x: x.unsqueeze(-1), (f("b", 3),), "Shuffle"),
    Row("unsqueeze before unknown sizes", lambda x: x.unsqueeze(0), (f("b", "n"),), "Shuffle"),
    Row("unsqueeze among unknown sizes", lambda x: x.unsqueeze(1), (f("b", "n"),), "Shuffle"),
    Row("unsqueeze a scalar", lambda x: x.unsqueeze(0), (f(),), "Shuffle"),
    Row("expand", lambda x: x.expand(4, 3), (f(1, 3),), "Slice"),
    Row("expand -1", lambda x: x.expand(2, -1, 4), (f("b", 1),)),
    Row("expand to a symbolic size", lambda x, y: x.expand(y.shape[0], 3), (f(1, 3), f("b", 3))),
    Row("expand more dimensions", lambda x: x.expand(2, 4, 3), (f(3),)),
    Row("expand a scalar", lambda x: x.expand(2, 3), (f(),)),
    Row("expand bools", lambda x: x.expand(4, 3), (boolean(1, 3),)),
    Row("expand nothing", lambda x: x.expand(-1, 3) + 1, (f("b", 3),), "ElementWise"),
    Row("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), (f("b", 8, "h", "w"),)),
    Row("pixel_shuffle without batch", lambda x: F.pixel_shuffle(x, 3), (f(9, 2, 3),)),
    Row("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2), (f("b", 2, 4, 6),)),
    Row("pixel_unshuffle static", lambda x: F.pixel_unshuffle(x, 3), (f(1, 2, 6, 3),)),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_layout(row):
    check_row(row)
