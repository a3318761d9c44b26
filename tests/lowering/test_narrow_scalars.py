# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from edge_trt.lowering import lower
from tests.lowering.graphs import agree, check, export, ops

X = torch.randn(4)


def test_the_constant_takes_the_type():
    gm = lower(export(lambda x: torch.tensor(0.5, dtype=torch.float64) * x, X))
    assert ops(gm) == ["mul"]
    (scalar,) = [n.meta["val"] for n in gm.graph.nodes if n.op == "get_attr"]
    assert (scalar.dtype, scalar.dim()) == (torch.float32, 0)
    check(gm)


@pytest.mark.parametrize(
    ("function", "example"),
    [
        (lambda x: x * np.float64(0.3), X),
        (lambda x: torch.tensor(0.3, dtype=torch.float64) - x, X),
        (lambda x: x > torch.tensor(0.3, dtype=torch.float64), X),
        (lambda x: x / torch.tensor(0.25, dtype=torch.float64), X.half()),
        (lambda x: torch.maximum(x, torch.tensor(0.3, dtype=torch.float64).float()), X),
    ],
)
def test_floats_keep_their_type(function, example):
    gm = lower(export(function, example))
    assert "float64" not in str([n.meta["val"].dtype for n in gm.graph.nodes if "val" in n.meta])
    check(gm)
    agree(gm, function, example)


def test_what_would_change_the_type_stays():
    gm = lower(export(lambda x: x * torch.tensor(0.5, dtype=torch.float64), torch.arange(4)))
    assert ops(gm) == ["mul"]
    assert [n.op for n in gm.graph.nodes].count("get_attr") == 1
    check(gm)


def test_other_constants_stay():
    gm = lower(export(lambda x, w: x * w, X, w=torch.rand(4)))
    assert [n.op for n in gm.graph.nodes].count("get_attr") == 1
