# SPDX-License-Identifier: Apache-2.0
"""Converters of `convolution.py`."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.conversion.checking import check_row
from tests.conversion.rows import Row, f, i64

aten = torch.ops.aten
IMAGE = f("b", 4, "h", "w")
VOLUME = f("b", 2, 5, "h", 6)


def same(kernel: int, dilation: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(4, 4, kernel, padding="same", dilation=dilation, groups=groups)


class Rounded(nn.Module):
    """A layer in bfloat16 that only moves small integers, which are exact in it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer.bfloat16()
        nn.init.dirac_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, x):
        return self.layer(x.round().bfloat16()).float()


class Padded(nn.Module):
    """A convolution of zeros around its input, which are a result themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.pad, self.conv = nn.ZeroPad2d(1), nn.Conv2d(4, 6, 3)

    def forward(self, x):
        padded = self.pad(x)
        return padded, self.conv(padded)


ROWS = [
    Row("conv2d", nn.Conv2d(4, 6, 3), (IMAGE,), "Convolution"),
    Row("conv2d without bias", nn.Conv2d(4, 6, 1, bias=False), (IMAGE,), "Convolution"),
    Row("conv2d stride, padding", nn.Conv2d(4, 6, (3, 5), (2, 1), (1, 2)), (IMAGE,), "Convolution"),
    Row("conv2d dilation", nn.Conv2d(4, 6, 3, padding=2, dilation=2), (IMAGE,), "Convolution"),
    Row("conv2d groups", nn.Conv2d(4, 6, 3, groups=2), (f(1, 4, 8, 9),), "Convolution"),
    Row("conv2d depthwise", nn.Conv2d(4, 8, 3, groups=4, padding=1), (IMAGE,), "Convolution"),
    Row("conv2d without batch", nn.Conv2d(4, 6, 3), (f(4, "h", "w"),)),
    Row("conv2d computed weight", F.conv2d, (f(2, 4, 8, 9), f(6, 4, 3, 3))),
    Row("conv2d computed weight, bias", F.conv2d, (f(2, 4, 8, 9), f(6, 4, 3, 3), f(6))),
    Row("conv2d with an open weight", F.conv2d, (f(2, 4, 20, 20), f(6, 4, "n", 3)), refusal="open"),
    Row("conv2d of ints", F.conv2d, (i64(2, 4, 8, 9), i64(6, 4, 3, 3)), refusal="integers"),
    Row("conv1d", nn.Conv1d(4, 6, 3, stride=2, padding=1), (f("b", 4, "n"),)),
    Row("conv1d static", nn.Conv1d(4, 6, 3), (f(2, 4, 9),), "Shuffle Convolution Shuffle"),
    Row("conv1d without batch", nn.Conv1d(4, 6, 3, groups=2), (f(4, "n"),)),
    Row("conv1d dilation, groups", nn.Conv1d(4, 4, 3, dilation=2, groups=4), (f(2, 4, 9),)),
    Row("conv3d", nn.Conv3d(2, 4, (3, 2, 3), (1, 2, 1), (1, 0, 2)), (VOLUME,), "Convolution"),
    *(Row(f"conv2d same, kernel {k}", same(k), (IMAGE,), "Convolution") for k in (2, 3, 4)),
    Row("conv2d same, dilation", same(4, dilation=3), (IMAGE,), "Convolution"),
    Row("conv2d same, groups", same(2, groups=4), (IMAGE,), "Convolution"),
    Row("conv2d valid", nn.Conv2d(4, 6, 3, 2, padding="valid"), (IMAGE,), "Convolution"),
    Row("conv1d same", nn.Conv1d(4, 6, 4, padding="same"), (f("b", 4, "n"),)),
    Row("conv3d same", nn.Conv3d(2, 4, 2, padding="same"), (VOLUME,), "Convolution"),
    Row(
        "conv2d of zeros around it",
        nn.Sequential(nn.ZeroPad2d((1, 2, 0, 1)), nn.Conv2d(4, 6, 3, 2)),
        (IMAGE,),
        "Convolution",
    ),
    Row(
        "conv2d of zeros around it and its own",
        nn.Sequential(nn.ZeroPad2d((0, 1, 2, 1)), nn.Conv2d(4, 6, (3, 2), padding=1, dilation=2)),
        (IMAGE,),
        "Convolution",
    ),
    Row(
        "conv2d of zeros around another convolution",
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.ZeroPad2d((-1, 2, 1, 1)), nn.Conv2d(4, 6, 3)),
        (f(2, 4, 8, 9),),
        "Convolution Slice Convolution",
    ),
    Row(
        "conv2d of wide zeros",
        nn.Sequential(nn.ZeroPad2d((0, 3, 0, 0)), nn.Conv2d(4, 6, 3)),
        (f(2, 4, 8, 9),),
        "Slice Convolution",
    ),
    Row(
        "conv2d of ones around it",
        nn.Sequential(nn.ConstantPad2d(1, 1.0), nn.Conv2d(4, 6, 3)),
        (f(2, 4, 8, 9),),
        "Slice Convolution",
    ),
    Row(
        "conv2d of zero channels",
        nn.Sequential(nn.ZeroPad3d((1, 1, 1, 1, 0, 2)), nn.Conv2d(4, 6, 3)),
        (f(1, 2, 8, 9),),
        "Slice Convolution",
    ),
    Row(
        "conv1d of zeros around it",
        nn.Sequential(nn.ZeroPad1d((2, 0)), nn.Conv1d(4, 6, 3)),
        (f(2, 4, 9),),
        "Shuffle Convolution Shuffle",
    ),
    Row(
        "conv3d of zeros around it",
        nn.Sequential(nn.ZeroPad3d((0, 1, 0, 1, 1, 0)), nn.Conv3d(2, 4, 2)),
        (VOLUME,),
        "Convolution",
    ),
    Row("conv2d of zeros that others read", Padded(), (f(2, 4, 8, 9),), "Slice Convolution"),
    Row("conv_transpose2d", nn.ConvTranspose2d(4, 6, 3), (IMAGE,), "Deconvolution"),
    Row("conv_transpose2d stride, padding", nn.ConvTranspose2d(4, 6, 3, 2, 1), (IMAGE,)),
    Row(
        "conv_transpose2d output_padding",
        nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1),
        (IMAGE,),
        "Deconvolution",
    ),
    Row(
        "conv_transpose2d output_padding beyond padding",
        nn.ConvTranspose2d(4, 6, 2, 3, (0, 1), output_padding=(1, 2)),
        (IMAGE,),
    ),
    Row(
        "conv_transpose2d output_padding, no bias",
        nn.ConvTranspose2d(4, 6, 2, 2, output_padding=1, bias=False),
        (f(1, 4, 5, 6),),
        "Deconvolution Slice",
    ),
    Row("conv_transpose2d groups", nn.ConvTranspose2d(4, 6, 3, 2, groups=2), (IMAGE,)),
    Row("conv_transpose2d dilation", nn.ConvTranspose2d(4, 6, 3, 2, 2, dilation=2), (IMAGE,)),
    Row(
        "conv_transpose2d dilation, computed weight",
        lambda x, w: F.conv_transpose2d(x, w, dilation=2),
        (f(1, 4, 5, 6), f(4, 3, 3, 3)),
    ),
    Row(
        "conv_transpose2d stride, dilation, computed weight",
        lambda x, w: F.conv_transpose2d(x, w, stride=2, dilation=2),
        (f(1, 4, 5, 6), f(4, 3, 3, 3)),
        refusal="computed weight",
    ),
    Row("conv_transpose2d without batch", nn.ConvTranspose2d(4, 6, 3), (f(4, 5, 6),)),
    Row("conv_transpose1d", nn.ConvTranspose1d(4, 6, 3, 2, 1, 1), (f("b", 4, "n"),)),
    Row("conv_transpose1d in bfloat16", Rounded(nn.ConvTranspose1d(4, 4, 2, 2)), (f(2, 4, 9),)),
    Row("conv_transpose2d in bfloat16", Rounded(nn.ConvTranspose2d(4, 4, 2, 2)), (IMAGE,)),
    Row("conv_transpose3d", nn.ConvTranspose3d(2, 4, 2, 2), (VOLUME,), "Deconvolution"),
    Row(
        "convolution",
        lambda x, w: aten.convolution.default(x, w, None, [1], [1], [1], False, [0], 1),
        (f(2, 4, 8, 9), torch.randn(6, 4, 3, 3)),
    ),
    Row(
        "convolution transposed",
        lambda x, w: aten.convolution.default(x, w, None, [2, 1], [1, 1], [1, 1], True, [1, 0], 2),
        (f(2, 4, 5, 6), torch.randn(4, 3, 3, 3)),
    ),
]


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # PyTorch tells of a copy it makes
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_convolution(row):
    check_row(row)
