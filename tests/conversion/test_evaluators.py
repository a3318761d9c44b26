# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on sizes: numbers where they are known, shape layers where they are not."""

from __future__ import annotations

import math

import pytest
import torch

from edge_trt.conversion.driver import convert
from tests.conversion.checking import captured, check_row, refusals
from tests.conversion.rows import Row, f, i64

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
    Row("fraction", lambda x: x / (x.shape[0] / 3), (X,)),
    Row("fraction of two sizes", lambda x: x * (x.shape[0] / x.shape[1]), (X,)),
    Row("fraction times a number", lambda x: x * (0.1 * x.shape[0] + 1), (X,)),
    Row("least fraction", lambda x: x * torch.sym_min(x.shape[0] * 0.5, 2.5), (X,)),
    Row("remainder of a fraction", lambda x: x * (x.shape[0] * 0.3 % 1 - 2), (X,)),
    Row("negative fraction", lambda x: x * -(x.shape[0] * 0.3), (X,)),
    Row("square root", lambda x: x * x.shape[0] ** 0.5, (X,)),
    Row("torch._sym_sqrt", lambda x: x * torch._sym_sqrt(x.shape[0]), (X,)),
    Row(
        "fraction in half",
        lambda x: x.half() * (x.shape[0] / 4),
        (i64("n", "h"),),
    ),
    Row("rounded down", filled(lambda n, h: math.floor(n * 0.29)), (f("h", 100),)),
    Row("rounded up", filled(lambda n, h: math.ceil(n / 2)), (X,)),
    Row("rounded to zero", filled(lambda n, h: math.trunc(n * 0.7)), (X,)),
    Row("rounded", filled(lambda n, h: round(n * 0.7)), (X,)),
    Row("sym_int", filled(lambda n, h: torch.sym_int(n / 2)), (X,)),
    Row("power", filled(lambda n, h: n**2), (X,)),
    Row("choice", filled(lambda n, h: torch.sym_ite(n > 5, n, h)), (X,)),
    Row("choice by not", filled(lambda n, h: torch.sym_ite(torch.sym_not(n >= 5), n, h)), (X,)),
    Row("choice by both", filled(lambda n, h: torch.sym_ite((n < 7) & (h <= 9), n, h)), (X,)),
    Row("choice by either", filled(lambda n, h: torch.sym_ite((n < 5) | (h == 9), n, h)), (X,)),
    Row("choice by difference", filled(lambda n, h: torch.sym_ite(n != 6, n, h)), (X,)),
    Row("truth", lambda x: x * (x.shape[0] > 5), (X,)),
    Row(
        "fraction as an attribute",
        lambda x: x.clamp(max=x.shape[0] / 3),
        (X,),
        refusal="no whole number",
    ),
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


def test_a_table_has_a_limit():
    dim = torch.export.Dim("n", min=2, max=10**6)
    program = torch.export.export(
        Row("half", lambda x: x * (x.shape[0] / 2), (f(9),)).module(),
        (torch.ones(9),),
        dynamic_shapes=(({0: dim},),),
    )
    (reason,) = refusals(captured(program))
    assert reason.endswith("table of at most 65536 entries: give the sizes narrower ranges")
