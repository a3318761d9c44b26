# SPDX-License-Identifier: Apache-2.0
"""Quantized graphs made elsewhere: as layers, or computed where TensorRT's int8 differs."""

from __future__ import annotations

import pytest
import torch
import torch.ao.quantization.fx._decomposed  # defines the operators
from torch import nn
from torch.nn import functional as F

from tests.conversion.checking import check_lowered, check_row
from tests.conversion.rows import Row, f

aten, quantized = torch.ops.aten, torch.ops.quantized_decomposed
X = f("b", 3, "h", low=-40, high=40)
FIXED = f(2, 3, 5, low=-40, high=40)  # the operator with a mask has no symbolic shape in PyTorch
SCALES, NONE, SHIFTS = torch.tensor([0.25, 0.5, 0.125]), torch.zeros(3).long(), torch.arange(3)
SCALE, ZERO = torch.tensor(0.25), torch.tensor(0)
PAIR = "Quantize Dequantize"
TIES = torch.tensor([-100.0, -1.25, -0.75, -0.25, 0.25, 0.75, 1.25, 100.0])


def through(scale=0.25, zero=0, low=-128, high=127, dtype=torch.int8):
    def run(x):
        given = (scale, zero, low, high, dtype)
        levels = quantized.quantize_per_tensor.default(x, *given)
        return quantized.dequantize_per_tensor.default(levels, *given)

    return run


def by_tensors(x):
    given = (SCALE, ZERO, -128, 127, torch.int8)
    levels = quantized.quantize_per_tensor.tensor(x, *given)
    return quantized.dequantize_per_tensor.tensor(levels, *given)


def per_channel(zeros=NONE, low=-128, axis=1):
    def run(x):
        given = (SCALES, zeros, axis, low, 127, torch.int8)
        levels = quantized.quantize_per_channel.default(x, *given)
        return quantized.dequantize_per_channel.default(levels, *given)

    return run


def fake(scale=0.25, zero=0, low=-128, high=127):
    return lambda x: torch.fake_quantize_per_tensor_affine(x, scale, zero, low, high)


def fake_per_channel(zeros=NONE):
    zeros = zeros.int()
    return lambda x: torch.fake_quantize_per_channel_affine(x, SCALES, zeros, 1, -128, 127)


def fake_and_mask(x):
    return aten.fake_quantize_per_tensor_affine_cachemask.default(x, 0.25, 0, -128, 127)[0]


def levels(x):
    return quantized.quantize_per_tensor.default(x, 0.25, 0, -128, 127, torch.int8)


class Quantized(nn.Module):
    """A convolution with int8 weights, as PT2E leaves it."""

    def __init__(self) -> None:
        super().__init__()
        levels = torch.randint(-127, 128, (3, 2, 3, 3)).to(torch.int8)
        self.register_buffer("levels", levels)
        self.register_buffer("scales", SCALES / 16)
        self.register_buffer("zeros", NONE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        given = (self.scales, self.zeros, 0, -127, 127, torch.int8)
        weight = quantized.dequantize_per_channel.default(self.levels, *given)
        return F.conv2d(through(0.0625)(x), weight)


LAYERS = [
    Row("per tensor", through(), (X,), PAIR),
    Row("per tensor, ties and saturation", through(0.5), (TIES,), PAIR),
    Row("per tensor without -128", through(low=-127), (X,), "ElementWise " + PAIR),
    Row("per tensor by tensors", by_tensors, (X,), PAIR),
    Row("per channel", per_channel(), (X,), PAIR),
    Row("per channel without -128", per_channel(low=-127), (X,), "ElementWise " + PAIR),
    Row("per last channel", per_channel(axis=-1), (f("b", 3),), PAIR),
    Row("a convolution", Quantized(), (f("b", 2, 5, 6),), f"Dequantize {PAIR} Convolution"),
    Row("fake", fake(), (X,), PAIR),
    Row("fake by tensors", fake(SCALE, torch.tensor(0).int()), (X,), PAIR),
    Row("fake per channel", fake_per_channel(), (X,), PAIR),
    Row("fake of known sizes", fake(), (FIXED,), PAIR),
]


def per_token(choose):
    def run(x):
        by = choose(x, torch.int8)
        whole = quantized.quantize_per_token(x, *by, -128, 127, torch.int8)
        return quantized.dequantize_per_token(whole, *by, -128, 127, torch.int8, torch.float32)

    return run


def chosen(choose, low=-128, high=127, dtype=torch.int8):
    def run(x):
        by = (*choose(x, low, high, 1e-6, dtype), low, high, dtype)
        return quantized.dequantize_per_tensor.tensor(
            quantized.quantize_per_tensor.tensor(x, *by), *by
        )

    return run


def by_group(zero, dtype=torch.int64):
    def run(x):
        zeros = torch.full((2, 3), zero, dtype=dtype)
        scales, by = torch.arange(1, 7).reshape(2, 3) / 8, (-8, 7, torch.int8, 2)
        whole = quantized.quantize_per_channel_group(x, scales, zeros, *by)
        return quantized.dequantize_per_channel_group(
            whole, scales, None if zero == 0 else zeros, *by, torch.float32
        )

    return run


COMPUTED = [
    Row("per tensor, dynamic", chosen(quantized.choose_qparams.tensor), (f("b", 3),)),
    Row(
        "per tensor, dynamic uint8",
        chosen(quantized.choose_qparams.tensor, 0, 255, torch.uint8),
        (f(2, 3, low=1),),
    ),
    *(
        Row(
            f"per tensor, dynamic and symmetric {dtype}",
            chosen(quantized.choose_qparams_symmetric.tensor, low, high, dtype),
            (f("b", 3),),
        )
        for low, high, dtype in ((-127, 127, torch.int8), (0, 255, torch.uint8))
    ),
    Row("per token", per_token(quantized.choose_qparams_per_token), (f("b", 3, 8),)),
    Row(
        "per token, asymmetric",
        per_token(quantized.choose_qparams_per_token_asymmetric),
        (f("b", 3, 8, low=-0.5),),
    ),
    Row(
        "per token, asymmetric, as it is composed",
        per_token(quantized._choose_qparams_per_token_asymmetric_impl),
        (f("b", 3, 8, low=-0.5),),
    ),
    *(Row(f"per group {zero}", by_group(zero), (f(2, 6),)) for zero in (0, 2)),
    Row("per group, in eight bits that overflow", by_group(-125, torch.int8), (f(2, 6),)),
    Row("uint8", through(0.25, 128, 0, 255, torch.uint8), (X,)),
    Row("around another zero", through(zero=3), (X,)),
    Row("to four bits", through(low=-8, high=7), (X,)),
    Row("per channel around other zeros", per_channel(SHIFTS), (X,)),
    Row("levels themselves", levels, (X,)),
    Row("fake, of uint8", fake(0.25, 128, 0, 255), (X,)),
    Row("fake, around another zero", fake(0.5, 3), (TIES,)),
    Row("fake by tensors around another zero", fake(SCALE, torch.tensor(2).int()), (X,)),
    Row("fake per channel around other zeros", fake_per_channel(SHIFTS), (X,)),
    Row("fake with its mask unread", fake_and_mask, (FIXED,), PAIR),
    Row("to many bits", through(dtype=torch.int32, high=2**31 - 1), (X,), refusal="use int8"),
]


@pytest.mark.parametrize("row", LAYERS, ids=lambda row: row.name)
def test_layers(row):
    check_row(row)
    check_lowered(row)


@pytest.mark.parametrize("row", COMPUTED, ids=lambda row: row.name)
def test_computed(row):
    check_lowered(row)
