# SPDX-License-Identifier: Apache-2.0
"""Converters of `normalization.py`."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.conversion.checking import check_row
from tests.conversion.rows import Row, f, i64

aten = torch.ops.aten
IMAGE = f("b", 6, "h", "w")


def randomised(module: nn.Module) -> nn.Module:
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 1.5)
    return module


class Computed(nn.Module):
    """Batch normalization with statistics that are no constants."""

    def forward(self, x, mean, var, weight):
        return F.batch_norm(x, mean, var, weight)


ROWS = [
    Row("layer_norm", randomised(nn.LayerNorm(6)), (f("b", "n", 6),), "Normalization"),
    Row(
        "layer_norm plain", nn.LayerNorm(6, elementwise_affine=False), (f("b", 6),), "Normalization"
    ),
    Row(
        "layer_norm of two axes", randomised(nn.LayerNorm([4, 6])), (f("b", 4, 6),), "Normalization"
    ),
    Row("layer_norm no bias", randomised(nn.LayerNorm(6, bias=False)), (f(2, 3, 6),)),
    Row("layer_norm of a vector", randomised(nn.LayerNorm(6)), (f(6),)),
    Row("layer_norm eps", randomised(nn.LayerNorm(6, eps=0.1)), (f(2, 3, 6),)),
    Row("group_norm", randomised(nn.GroupNorm(3, 6)), (IMAGE,)),
    Row("group_norm plain", nn.GroupNorm(2, 6, affine=False), (f(2, 6, 5, 4),)),
    Row("group_norm of one group", randomised(nn.GroupNorm(1, 6)), (f("b", 6, "n"),)),
    Row("group_norm of a matrix", randomised(nn.GroupNorm(2, 6)), (f(3, 6),)),
    Row("instance_norm", randomised(nn.InstanceNorm2d(6, affine=True)), (IMAGE,), "Normalization"),
    Row("instance_norm plain", nn.InstanceNorm2d(6), (IMAGE,), "Normalization"),
    Row("instance_norm 1d", nn.InstanceNorm1d(6), (f(2, 6, 5),)),
    Row("instance_norm 3d", randomised(nn.InstanceNorm3d(2, affine=True)), (f(2, 2, 3, 4, 5),)),
    Row(
        "instance_norm running statistics",
        randomised(nn.InstanceNorm2d(6, affine=True, track_running_stats=True)),
        (IMAGE,),
        "Scale",
    ),
    Row("rms_norm", randomised(nn.RMSNorm(6)), (f("b", "n", 6),)),
    Row(
        "rms_norm of halves, to single weights",
        lambda x, w: F.rms_norm(x.half(), [6], w).float(),
        (f("b", 6), f(6)),
    ),
    *(
        Row(
            f"rms_norm of halves up to {size}",
            lambda x: F.rms_norm(x.half(), [6]).float(),
            (f("b", 6, low=-size, high=size),),
        )
        for size in (0.001, 1000)
    ),
    Row("rms_norm eps", nn.RMSNorm([3, 6], eps=0.1, elementwise_affine=False), (f(2, 3, 6),)),
    Row("batch_norm", randomised(nn.BatchNorm2d(6)), (IMAGE,), "Scale"),
    Row("batch_norm plain", randomised(nn.BatchNorm2d(6, affine=False)), (f(2, 6, 4, 5),)),
    Row("batch_norm 1d", randomised(nn.BatchNorm1d(6)), (f("b", 6, "n"),)),
    Row("batch_norm of a matrix", randomised(nn.BatchNorm1d(6)), (f("b", 6),)),
    Row("batch_norm 3d", randomised(nn.BatchNorm3d(2)), (f(2, 2, 3, 4, 5),)),
    Row("batch_norm computed", Computed(), (f(2, 6, 4), f(6), f(6, low=0.5), f(6))),
    Row(
        "batch_norm of the batch",
        nn.BatchNorm2d(6, track_running_stats=False),
        (f(2, 6, 4, 5),),
        refusal="statistics of its batch",
    ),
    Row("softmax", lambda x: x.softmax(-1), (f("b", "n"),), "SoftMax"),
    Row("softmax of the first axis", lambda x: x.softmax(0), (f("b", 4, 3),), "SoftMax"),
    Row("softmax of a vector", lambda x: x.softmax(0), (f(5),)),
    Row("softmax of a scalar", lambda x: x.softmax(0), (f(),)),
    Row("softmax of ints", lambda x: x.softmax(1, dtype=torch.float32), (i64(2, 5),)),
    Row("_softmax", lambda x: aten._softmax.default(x, 1, False), (f(2, 5),), "SoftMax"),
    Row("log_softmax", lambda x: x.log_softmax(-1), (f("b", 5, low=-90, high=90),)),
    Row("log_softmax of a scalar", lambda x: x.log_softmax(0), (f(),)),
    Row("log_softmax -inf", lambda x: x.log_softmax(1), (torch.tensor([[-math.inf, 1.0, 2.0]]),)),
    Row("_log_softmax", lambda x: aten._log_softmax.default(x, 0, False), (f(2, 5),)),
]


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_normalization(row):
    check_row(row)
