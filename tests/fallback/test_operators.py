# SPDX-License-Identifier: Apache-2.0
"""Operators that TensorRT lacks, as ONNX: equal to PyTorch over the whole range of sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from edge_trt.capture import Input
from edge_trt.fallback.check import check
from tests.fallback.blocks import alone

X = torch.randn(3, 8)
WHOLE = torch.randint(0, 5, (3, 8))
ROWS = Input(("b", 8), min=1, opt=3, max=9)
MANY = torch.randint(0, 9, (1, 5000))
SEQUENCE = torch.linspace(-1, 1, 7)

OPERATORS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "masked_select": (lambda x: torch.masked_select(x, x > 0), (ROWS,)),
    "masked_select broadcasts": (
        lambda x: torch.masked_select(x, torch.tensor([True, False] * 4)),
        (ROWS,),
    ),
    "nonzero": (lambda x: torch.nonzero(x > 0), (ROWS,)),
    "rows by a mask": (lambda x: x[x[:, 0] > 0] * 2, (ROWS,)),
    "unique": (lambda x: torch.unique(x, return_inverse=True, return_counts=True), (WHOLE,)),
    "index_put accumulates": (
        lambda x: torch.index_put(x, (torch.tensor([0, 1, 1]),), x, accumulate=True),
        (X,),
    ),
    "bits of integers": (lambda x: ((x & 3) | 4) ^ (x << 1), (WHOLE,)),
    "sort": (lambda x: torch.sort(x, dim=-1), (ROWS,)),
    "sort stably": (lambda x: torch.sort(x, dim=0, descending=True, stable=True), (WHOLE,)),
    "sort bools": (lambda x: torch.sort(x > 2, stable=True), (WHOLE,)),
    "argsort": (lambda x: torch.argsort(x, stable=True, dim=0), (ROWS,)),
    "sort of equal elements": (lambda x: torch.sort(x, descending=True), (MANY,)),
    "argsort of equal elements": (torch.argsort, (MANY,)),
    "topk of equal elements": (lambda x: torch.topk(x, 4000, largest=False), (MANY,)),
    "searchsorted": (lambda x: torch.searchsorted(SEQUENCE, x), (ROWS,)),
    "searchsorted from the right": (
        lambda x: torch.searchsorted(SEQUENCE, (x * 3).round() / 3, right=True, out_int32=True),
        (ROWS,),
    ),
    "cdist": (lambda x: torch.cdist(x, x.flip(-1)), (ROWS,)),
    "cdist by sums": (lambda x: torch.cdist(x, x.flip(-1), p=1.0), (ROWS,)),
    "cdist by the largest": (lambda x: torch.cdist(x, x.flip(-1), p=float("inf")), (ROWS,)),
    "float64": (lambda x: (x.double() * 2).exp(), (ROWS,)),
    "int16": (lambda x: x.to(torch.int16) * 2, (WHOLE,)),
    "rfft": (lambda x: torch.fft.rfft(x).abs(), (ROWS,)),
    "remainder of negatives": (lambda x: torch.remainder(x - 3, -2), (WHOLE,)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_runs_without_torch(name: str) -> None:
    """`check` compares values; here it must have had some, at every size of the range."""
    function, inputs = OPERATORS[name]
    saved = alone(function, *inputs).saved("onnxruntime")
    assert saved.torch is None
    assert saved.why.startswith(f"equals PyTorch on {10 if ROWS in inputs else 4} random inputs")


@pytest.mark.parametrize(
    "function",
    [lambda x: x / 3.3, lambda x: x * 1.1, lambda x: x.clamp(max=1732629650.3)],
    ids=["quotient", "product", "bound"],
)
def test_float64_is_not_rounded_to_float32(function: Callable[..., Any]) -> None:
    """torch.onnx writes the number as float32: PyTorch runs it then."""
    x = torch.tensor([1732629601.25, 1732629700.5], dtype=torch.float64)
    saved = alone(function, x).saved("auto")
    assert saved.torch is not None
    assert "other values" in saved.why


def test_nan_sorts_as_the_largest() -> None:
    x = torch.tensor([[1.0, float("nan"), -2.0, 5.0], [0.0, 3.0, float("nan"), float("nan")]])
    for descending in (False, True):
        done = alone(lambda x, d=descending: torch.sort(x, stable=True, descending=d), x)
        model = done.saved("onnxruntime").onnx
        assert model is not None
        session = onnxruntime.InferenceSession(model.data)
        got = session.run(None, {done.partition.blocks[0].inputs[0]: x.numpy()})
        for array, eager in zip(
            got, torch.sort(x, stable=True, descending=descending), strict=True
        ):
            np.testing.assert_array_equal(array, eager.numpy())


def test_what_has_no_form_stays_with_torch() -> None:
    saved = alone(torch.special.i0, X).saved()
    assert (saved.runner, saved.onnx) == ("torch", None)
    assert "ONNX has no form of" in saved.why


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: torch.mode(x, 0)[0], "aten.mode here"),
        (torch.special.gammaln, "aten.special_gammaln here, which is made of prims.lgamma"),
        (torch.linalg.svdvals, "aten.linalg_svdvals here, which is made of aten._linalg_svd"),
    ],
)
def test_what_has_no_form_is_an_operator_of_the_model(function: Callable[..., Any], why: str):
    assert alone(function, X).saved().why == f"ONNX has no form of {why}"


def test_a_result_that_was_never_there_is_told() -> None:
    saved = alone(lambda x: (torch.masked_select(x, x > 1e6), x.exp()), X).saved("onnxruntime")
    assert saved.why.endswith("; fallback0.0 always empty)")


def test_the_check_can_fail() -> None:
    """Another function in the place of the block's is noticed."""
    done, other = alone(torch.special.expit, X), alone(lambda x: torch.tanh(x), X)
    model = other.saved("onnxruntime").onnx
    assert model is not None
    from edge_trt.fallback.export import NotPortableError

    with pytest.raises(NotPortableError, match="gives other values"):
        check(done.partition.blocks[0], model, [[X]])


def test_indices_of_two_types() -> None:
    rows, columns = torch.tensor([[2], [0]], dtype=torch.int32), torch.tensor([[1, 3, 0]])

    def read_and_write(x, i, j):
        return x[i, j], x.index_put((i, j), torch.zeros(2, 3))

    saved = alone(read_and_write, torch.randn(3, 4), rows, columns).saved("onnxruntime")
    assert saved.why.startswith("equals PyTorch on ")
