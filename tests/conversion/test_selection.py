# SPDX-License-Identifier: Apache-2.0
"""Converters of `selection.py`."""

from __future__ import annotations

import pytest
import torch

from tests.conversion.checking import check_lowered, check_row
from tests.conversion.rows import Row, boolean, f
from tests.support.oracles import OracleError
from tests.support.trt_interpreter.interpreter import FUNCTIONS

X = f("b", 5, "n")
TIES = torch.tensor([[1.0, 3, 3, 0, 3], [2, 2, 2, 2, 2], [5, -1, -1, 5, 5], [0.0, -0.0, 0, 1, -1]])
DEEP = f(6, 2, 1, "b", 2, 2)
DISTINCT = torch.randperm(24).reshape(4, 6)


def call(name, *args, **options):
    return lambda x: (
        tuple(v) if isinstance(v := getattr(torch, name)(x, *args, **options), tuple) else v
    )


def rounded(x):
    return (x * 2).round()


ROWS = [
    *(Row(name, call(name, 1), (X,)) for name in ("argmax", "argmin")),
    *(Row(f"{n} of all", call(n), (f(3, 4),)) for n in ("argmax", "argmin")),
    Row("argmax of all, symbolic", call("argmax"), (X,)),
    Row("argmax keepdim", call("argmax", -1, keepdim=True), (f("b", 5),)),
    Row("argmax of all, keepdim", call("argmax", keepdim=True), (f(3, 4),)),
    Row("argmax of a vector", call("argmax", 0), (f(5),)),
    Row("argmax of a scalar", call("argmax", 0), (f(),)),
    Row("argmax of all of a scalar", call("argmax"), (f(),)),
    Row("argmin of ints", call("argmin", 0), (DISTINCT,)),
    *(Row(f"{name}.dim", call(name, 1), (X,)) for name in ("max", "min")),
    Row("max.dim keepdim", call("max", -1, keepdim=True), (X,)),
    Row("max.dim of a vector", call("max", 0), (f(5),)),
    Row("max.dim of a scalar", call("max", 0), (f(),)),
    Row("min.dim of ints", call("min", 1), (DISTINCT,)),
    Row("max.dim of bools", lambda x: x.max(1)[0], (boolean(3, 4),)),
    *(Row(f"{n} of ties", call(n, 1), (TIES,)) for n in ("argmax", "argmin", "max", "min")),
    *(Row(f"{n} of equal ints", call(n, -1), (TIES.int(),)) for n in ("argmax", "max", "min")),
    *(Row(f"{n} of bytes", call(n, 1), (TIES.abs().byte(),)) for n in ("argmax", "argmin", "max")),
    Row("argmax of all ties", call("argmax"), (TIES.t(),)),
    Row("argmax of infinities", call("argmin", 1), (torch.full((2, 3), float("inf")),)),
    Row("argmax of a far dimension", call("argmax", 0), (DEEP,)),
    Row("topk", call("topk", 3, 1), (X,)),
    Row("topk of a far dimension", call("topk", 2, 0), (DEEP,)),
    Row("topk smallest", call("topk", 2, 0, largest=False), (f(4, 3),)),
    Row("topk last", call("topk", 3), (f("b", 5),)),
    Row("topk of a vector", call("topk", 3), (f(5),)),
    Row("topk of a scalar", call("topk", 1), (f(),)),
    Row("topk of ints", call("topk", 3), (DISTINCT,)),
    Row("topk unsorted", lambda x: x.topk(3, sorted=False)[0].sum(1), (f("b", 5),)),
    Row(
        "topk of too many",
        call("topk", 4000),
        (f(4000),),
        refusal="at most 3840 elements, not 4000: ",
    ),
    Row(
        "topk of a wide range",
        lambda x: torch.topk(x.flatten(), x.numel())[0],
        (f("b", "n", 300),),
        refusal="at most 3840 elements, not 10800: ",
    ),
    Row("topk of a symbolic number", lambda x: tuple(x.topk(x.shape[1] // 2)), (f(2, "n"),)),
    Row("topk of all of a vector", lambda x: x.topk(x.shape[0])[0], (f("n"),)),
    Row("sort", call("sort", 1), (f("b", 5),)),
    Row("sort descending", call("sort", 0, descending=True), (f(5, 2),)),
    Row("sort of a vector", call("sort"), (f(5),)),
    Row("sort of a scalar", call("sort"), (f(),)),
    Row("sort of ints", call("sort"), (DISTINCT,)),
    Row("sort of a far dimension", call("sort", 1), (DEEP,)),
    *(
        Row(f"sort stable {what}", call("sort", stable=True, dim=1, descending=down), (x,))
        for what, x in (("ties", TIES), ("equal ints", TIES.int()), ("distinct", f("b", 5, 3)))
        for down in (False, True)
    ),
    Row("sort stable of bytes", call("sort", stable=True), (TIES.abs().byte(),)),
    Row("sort stable of a scalar", call("sort", stable=True), (f(),)),
    Row("sort stable of many", call("sort", stable=True), ((torch.arange(3000) % 7),)),
    Row("sort stable, values", lambda x: x.sort(stable=True)[0], (f("b", 5),), "TopK"),
    Row("sort stable of a far dimension", call("sort", stable=True, dim=0), (DEEP,)),
    *(Row(f"kthvalue {k}", call("kthvalue", k, 1), (X,)) for k in (1, 2, 5)),
    Row("kthvalue keepdim", call("kthvalue", 2, keepdim=True), (f("b", 5),)),
    Row("kthvalue of a vector", call("kthvalue", 2), (f(5),)),
    Row("kthvalue of a scalar", call("kthvalue", 1), (f(),)),
    Row("kthvalue of a symbolic axis", call("kthvalue", 2), (X,)),
    *(Row(f"median of {n}", call("median", 1), (f("b", n),)) for n in (1, 4, 5)),
    Row("median keepdim", call("median", 0, keepdim=True), (DISTINCT,)),
    Row("median of a scalar", call("median", 0), (f(),)),
    Row("median of all", call("median"), (f(3, 4),)),
    Row("median of all of a scalar", call("median"), (f(),)),
    Row("median of a symbolic axis", call("median", 0), (f("n", 2),)),
    Row("median of a symbolic number", call("median"), (f("n", "b"),)),
    Row("median of too many", call("median"), (f(100, 100),), refusal="at most 3840"),
    Row("kthvalue of a symbolic rank", lambda x: x.kthvalue(x.shape[1] // 2)[0], (f("b", "n"),)),
    Row("nanmedian", call("nanmedian", 1), (f(2, 3),), refusal="replace NaN"),
    Row("mode", call("mode", 1), (f(2, 3),), refusal="equal elements"),
    *(Row(f"sort of symbolic axis {d}", call("sort", d), (f("n", "b"),)) for d in (0, 1)),
    Row("sort of a symbolic vector", call("sort", descending=True), (f("n"),)),
    Row(
        "sort stable of a symbolic axis", lambda x: rounded(x).sort(stable=True)[1], (f("b", "n"),)
    ),
    Row("sort stable of one", call("sort", stable=True), (f("b", 1),)),
]


LOWERED = [
    Row("msort", torch.msort, (f(5, "b"),), "TopK"),
    Row("argsort", call("argsort", 1, descending=True), (f("b", 5),), "TopK Cast"),
    Row("argsort stable", lambda x: torch.argsort(x, dim=1, stable=True), (TIES,)),
    Row("quantile", call("quantile", 0.3, dim=1), (f(3, 5),)),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_selection(row):
    check_row(row)


@pytest.mark.parametrize("row", LOWERED, ids=lambda row: row.name)
def test_lowered(row):
    check_lowered(row)


def test_equal_elements_may_come_in_any_order_from_topk(monkeypatch):
    """TensorRT does not say which comes first: here the last one does."""

    def backwards(call):
        axis, size = call.axis(), call.input.shape[call.axis()]
        k = call.sizes(1)[0] if call.has(1) else call.layer.k
        largest = call.enum("op") == "MAX"
        flipped = call.input.flip(axis)
        ordered = torch.sort(flipped, dim=axis, descending=largest, stable=True)
        values, places = (t.narrow(axis, 0, k) for t in ordered)
        return values, (size - 1 - places).to(call.output_dtype(1))

    monkeypatch.setitem(FUNCTIONS, "TOPK", backwards)
    for row in ROWS:
        if row.name.startswith(("sort stable", "argmax", "argmin", "max of", "min of")):
            check_row(row)
    with pytest.raises(OracleError, match="emission"):
        check_row(Row("", call("sort", dim=1), (TIES,)))
