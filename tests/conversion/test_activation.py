# SPDX-License-Identifier: Apache-2.0
"""Converters of `activation.py`."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.conversion.checking import check_row
from tests.conversion.rows import Row, f, i64

X = f("b", 3, 5, low=-9, high=9)
SPECIAL = torch.tensor([math.nan, math.inf, -math.inf, -0.0, 1.0, -1.0, 0.5, 7.25])
FAR = torch.tensor([-200.0, -20.0, -1.0, 0.0, 1.0, 10.0])

ROWS = [
    Row("relu", F.relu, (X,), "Activation"),
    Row("relu of ints", F.relu, (i64(2, 3),), "ElementWise"),
    Row("relu of a scalar", F.relu, (f(),), "Activation"),
    Row("relu6", F.relu6, (X,), "Activation"),
    Row("relu6 overload", lambda x: torch.ops.aten.relu6.default(x), (X,), "Activation"),
    Row("sigmoid", torch.sigmoid, (X,), "Activation"),
    Row("sigmoid of ints", torch.sigmoid, (i64(2, 3),), "Cast Activation"),
    Row("tanh", torch.tanh, (X,), "Activation"),
    Row("selu", F.selu, (X,), "Activation"),
    Row("hardsigmoid", F.hardsigmoid, (X,), "Activation"),
    Row("hardtanh", lambda x: F.hardtanh(x, -0.5, 2), (X,), "Activation"),
    Row("hardtanh one-sided", lambda x: F.hardtanh(x, -0.5, float("inf")), (X,), "ElementWise"),
    Row("gelu", F.gelu, (X,), "Activation"),
    Row("gelu tanh", lambda x: F.gelu(x, approximate="tanh"), (X,), "Activation"),
    Row("silu", F.silu, (X,), "Activation ElementWise"),
    Row("hardswish", F.hardswish, (X,), "Activation ElementWise"),
    Row("mish", F.mish, (X,), "Activation Activation ElementWise"),
    Row("leaky_relu", lambda x: F.leaky_relu(x, 0.2), (X,), "Activation"),
    Row("elu", lambda x: F.elu(x, 0.7), (X,), "Activation"),
    Row("elu scaled", lambda x: torch.ops.aten.elu.default(x, 1.5, 1.2, 0.8), (X,)),
    Row(
        "elu falling",
        lambda x: torch.ops.aten.elu.default(x, 1.0, 1.0, -1.0),
        (X,),
        refusal="input_scale -1.0",
    ),
    Row("celu", lambda x: F.celu(x, 0.5), (X,)),
    Row("softplus", F.softplus, (X,), "Activation"),
    Row("softplus beta", lambda x: F.softplus(x, beta=2.5), (X,), "Activation"),
    Row("softplus threshold", lambda x: F.softplus(x, 2, 3), (X,), "Activation ElementWise Select"),
    Row("prelu", nn.PReLU(3), (X,), "ParametricReLU"),
    Row("prelu of one slope", nn.PReLU(), (f("b", 3, "h", "w"),)),
    Row("prelu of a vector", nn.PReLU(), (f(5),)),
    Row("prelu of a matrix", nn.PReLU(4), (f(2, 4),)),
    Row("prelu computed slopes", F.prelu, (f(2, 3, 4), f(3))),
    Row("logsigmoid", F.logsigmoid, (X,), "Activation"),
    Row("logsigmoid far out", F.logsigmoid, (FAR,), accuracy=1e-5),
    Row("hardshrink", F.hardshrink, (X,), "Unary ElementWise Cast ElementWise"),
    Row("hardshrink of special numbers", lambda x: F.hardshrink(x, 1), (SPECIAL,), accuracy=0),
    Row("softshrink", lambda x: F.softshrink(x, 0.7), (X,), "Activation ElementWise"),
    Row("softshrink of special numbers", lambda x: F.softshrink(x, 1), (SPECIAL,), accuracy=0),
    Row("threshold", lambda x: F.threshold(x, 0.5, -3), (X,), "ElementWise Select"),
    Row("threshold 0", lambda x: F.threshold(x, 0.5, 0), (X,), "Activation"),
    Row(
        "leaky_relu of a size",
        lambda x: torch.ops.aten.leaky_relu.default(x, x.shape[0]),
        (f("b", 3),),
        refusal="a known negative_slope",
    ),
    Row("threshold of ints", lambda x: F.threshold(x, 1, -3), (i64(2, 5),)),
    Row("threshold of ints by a fraction", lambda x: F.threshold(x, 0.5, 7), (i64(2, 5),)),
    Row("threshold of ints by less", lambda x: F.threshold(x, -1.5, 7), (i64(2, 9),)),
    Row("_prelu_kernel", torch._prelu_kernel, (f(2, 3, 4), f(1, 3, 1))),
    Row("_prelu_kernel of the last axis", torch._prelu_kernel, (f("b", 3, 4), f(4))),
    Row("celu negative alpha", lambda x: F.celu(x, -1.5), (X,), refusal="positive alpha"),
    Row("softplus negative beta", lambda x: F.softplus(x, -1), (X,), refusal="positive beta"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_activation(row):
    check_row(row)
