# SPDX-License-Identifier: Apache-2.0
"""Regions of `torch.autocast`, with their casts as PyTorch makes them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.conversion.checking import check_lowered
from tests.conversion.rows import Row, f, i64

WEIGHT = torch.arange(-15, 17).reshape(4, 8) / 3
"""Rounded by bfloat16; float32 has the sums of its multiples, in whatever order."""
HALVES = torch.arange(-15, 17).reshape(4, 8) / 2  # float16, which PyTorch sums in, has their sums
X = i64("b", 8)


FLAG = torch.tensor(True)


def region(function, dtype=torch.bfloat16, device="cpu", **options):
    def run(x, *inputs):
        with torch.autocast(device, dtype, **options):
            result = function(x.float(), *inputs)
        return result.float()

    return run


def nested(x):
    with torch.no_grad():
        y = F.linear(x, WEIGHT)
    with torch.autocast("cpu", enabled=False):
        y = y.float().round()
    with torch.autocast("cpu", torch.float16):
        return y @ HALVES


def written(x):
    y = F.linear(x, WEIGHT)
    y[:, 0] = 0
    return y.add_(1).relu_()


def chosen(x, flag):
    return torch.cond(flag, lambda x: F.linear(x, WEIGHT) * 2, lambda x: x[:, :4].bfloat16(), (x,))


def in_a_branch(x, flag):
    linear = region(lambda x: F.linear(x, WEIGHT))
    return torch.cond(flag, linear, lambda x: x[:, :4].float().clone(), (x,))


def recurrent(layer):
    for parameter in layer.parameters():
        parameter.data.zero_()
    layer.bias_ih_l0.data.fill_(20).view(-1, 8)[1:2] = -20  # gates open or shut: nothing to round

    def run(x):
        with torch.autocast("cpu", torch.bfloat16):
            result, _ = layer(x)
            with torch.autocast("cpu", enabled=False):
                half = result * 0.5
            return F.linear(half, WEIGHT).float(), (result + 1).float()

    return run


ROWS = [
    *(
        Row(f"linear in {dtype}", region(lambda x, w=weight: F.linear(x, w), dtype), (X,))
        for dtype, weight in ((torch.bfloat16, WEIGHT), (torch.float16, HALVES))
    ),
    Row("softmax after a product", region(lambda x: F.softmax(F.linear(x, WEIGHT), -1)), (X,)),
    Row("two types in one call", region(lambda x: torch.cat([x @ WEIGHT.mT, x], 1)), (X,)),
    Row("inside of a composite", region(lambda x: torch.einsum("bi,oi->bo", x, WEIGHT)), (X,)),
    Row("disabled", region(lambda x: x @ WEIGHT.mT, enabled=False), (X,)),
    Row("another device's", region(lambda x: x @ WEIGHT.mT, device="cuda"), (X,)),
    Row("regions in a region", region(nested), (X,)),
    Row("writes", region(written), (X,)),
    Row("a conditional", region(chosen), (i64(2, 8), FLAG)),
    *(
        Row(f"{kind.__name__}", recurrent(kind(4, 8, batch_first=True)), (f("b", "n", 4),))
        for kind in (nn.LSTM, nn.GRU, nn.RNN)
    ),
    Row("in a branch", in_a_branch, (i64(2, 8), FLAG)),
]


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_autocast(row):
    check_lowered(row)
