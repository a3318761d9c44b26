# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on sizes: numbers where they are known, shape layers where they are not."""

from __future__ import annotations

import pytest
import torch

from edge_trt.conversion.driver import convert
from tests.conversion.checking import captured, check_row
from tests.conversion.rows import Row, f

SHAPE_LAYERS = {"Shape", "Gather", "Concatenation", "Fill"}


def filled(size):
    """A tensor whose size is computed from the sizes n and h of the input."""
    return lambda x: torch.full((size(x.shape[0], x.shape[1]),), 1.0)


X = f("n", "h")
ROWS = [
    Row("sum", filled(lambda n, h: n + h), (X,)),
    Row("sum of three", filled(lambda n, h: n + h + n), (X,)),
    Row("sum with a number", filled(lambda n, h: 3 + n), (X,)),
    Row("difference", filled(lambda n, h: n - 2), (X,)),
    Row("product", filled(lambda n, h: n * h), (X,)),
    Row("quotient", filled(lambda n, h: h // 2), (X,)),
    Row("remainder", filled(lambda n, h: n % 3 + 2), (X,)),
    Row("to the next multiple", filled(lambda n, h: (4 - n % 4) % 4 + 2), (X,)),
    Row("negative", filled(lambda n, h: -n + 20), (X,)),
    Row("largest", filled(lambda n, h: torch.sym_max(n, 6)), (X,)),
    Row("least", filled(lambda n, h: torch.sym_min(n, 6)), (X,)),
    Row("sum of a list", filled(lambda n, h: torch.sym_sum([n, h, 1])), (X,)),
    Row("product of three", filled(lambda n, h: n * h * n), (X,)),
    Row("number of elements", lambda x: torch.full((x.numel(),), 1.0), (X,)),
    Row("sizes as outputs", lambda x: x.sum() + x.shape[0] * x.shape[1], (X,)),
    Row("getitem", lambda x: x.split(2, 1)[1] + x.max(1)[1][:, None], (f("b", 4),)),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_evaluators(row):
    check_row(row)


def kinds(program):
    return [node.layer.kind for node in convert(captured(program), "net").nodes]


def heads(x):
    n, h = x.shape
    return (x * 2).reshape(n, h // 2, 2).permute(1, 0, 2).reshape(h // 2, n * 2) + x.shape[0]


def test_known_sizes_need_no_shape_layers():
    row = Row("static", heads, (f(4, 6),))
    assert not SHAPE_LAYERS & set(kinds(row.program()))


def test_a_symbolic_size_is_computed_once():
    def run(x):
        y = torch.relu(x)
        return torch.full((x.shape[0], 1), 1.0) + torch.full((y.shape[0], 1), 2.0) + y.shape[0]

    found = kinds(Row("dynamic", run, (f("n", 3),)).program())
    assert found.count("Shape") == found.count("Gather") == 1
