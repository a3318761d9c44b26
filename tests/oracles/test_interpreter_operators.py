# SPDX-License-Identifier: Apache-2.0
"""The interpreter reads operators as NVIDIA's ONNX parser writes them: the result equals eager.

A table per family; each family is one export, so that the rows stay cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.support.compare import assert_close
from tests.support.onnx_parser import feeds_for, parse
from tests.support.trt_interpreter import Interpreter

trt = pytest.importorskip("tensorrt_rtx")
pytestmark = pytest.mark.rtx

Tensor = torch.Tensor
Rows = dict[str, Callable[..., object]]


@dataclass(frozen=True)
class Family:
    rows: Rows
    inputs: Callable[[], tuple[Tensor, ...]]
    kinds: str
    """Layer kinds that must occur, so that a row can't pass by another way."""


class Table(nn.Module):
    """Every row of a family on the same inputs; module rows keep their parameters."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.names = list(rows)
        self.functions = list(rows.values())
        self.parts = nn.ModuleList(f for f in self.functions if isinstance(f, nn.Module))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(function(*inputs) for function in self.functions)


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape)


def positive(*shape: int) -> Tensor:
    return torch.rand(*shape) + 0.2


class Linear(nn.Linear):
    """Takes and ignores the family's other inputs."""

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        return super().forward(x)


class Gated(nn.Module):
    """Normalizations of torch have affine parts that start as identities: these do not."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        with torch.no_grad():
            for parameter in norm.parameters():
                parameter.normal_()

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        return self.norm(x)


torch.manual_seed(0)

CONVOLUTIONS: Rows = {
    "plain": nn.Conv2d(4, 6, 3),
    "stride, asymmetric": nn.Conv2d(4, 6, (3, 5), (2, 1), (0, 2)),
    "dilated": nn.Conv2d(4, 8, 3, padding=2, dilation=2, bias=False),
    "grouped": nn.Conv2d(4, 8, 3, groups=2),
    "depthwise": nn.Conv2d(4, 4, 3, padding="same", groups=4),
    "transposed": nn.ConvTranspose2d(4, 6, 3),
    "transposed, stride": nn.ConvTranspose2d(4, 6, 4, 2, 1),
    "transposed, output padding": nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1),
    "transposed, grouped, dilated": nn.ConvTranspose2d(4, 6, 3, 2, 0, groups=2, dilation=2),
    "kernel computed": lambda x: F.conv2d(x, x[:, :, :3, :3].reshape(1, 4, 3, 3)),
}

VOLUMES: Rows = {
    "convolution": nn.Conv3d(2, 4, 3, 2, 1),
    "transposed": nn.ConvTranspose3d(2, 4, 3, 2, 1),
    "max": nn.MaxPool3d(2, ceil_mode=True),
    "average": nn.AvgPool3d(3, 2, 1, count_include_pad=False),
    "linear": lambda x: F.interpolate(x, size=(7, 10, 3), mode="trilinear"),
    "nearest": lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"),
    "instance": Gated(nn.InstanceNorm3d(2, affine=True)),
}

POOLINGS: Rows = {
    "max": nn.MaxPool2d(3, 2),
    "max, padded": nn.MaxPool2d(3, 2, 1),
    "max, ceil": nn.MaxPool2d(2, 2, ceil_mode=True),
    "max, ceil, padded": nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    "max, stride 1": nn.MaxPool2d(5, 1, 2),
    "average": nn.AvgPool2d(2),
    "average, padding counts": nn.AvgPool2d(3, 2, 1, count_include_pad=True),
    "average, padding does not": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "average, ceil": nn.AvgPool2d(2, 2, ceil_mode=True),
    "average, ceil, padding does not": nn.AvgPool2d(3, 2, 1, True, False),
    "global": nn.AdaptiveAvgPool2d(1),
    "global maximum": nn.AdaptiveMaxPool2d(1),
    "response": nn.LocalResponseNorm(3, alpha=0.7, beta=0.6, k=1.5),
}

ACTIVATIONS: Rows = {
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "leaky": lambda x: F.leaky_relu(x, 0.2),
    "elu": lambda x: F.elu(x, 1.7),
    "selu": F.selu,
    "softsign": F.softsign,
    "softplus": F.softplus,
    "clip": lambda x: x.clamp(-0.4, 0.9),
    "clip below": lambda x: x.clamp(min=0.1),
    "hard sigmoid": F.hardsigmoid,
    "hard swish": F.hardswish,
    "relu6": F.relu6,
    "gelu": F.gelu,
    "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "threshold": lambda x: F.threshold(x, 0.5, 0.0),
    "prelu": nn.PReLU(5, 0.3),
    "softmax": lambda x: x.softmax(1),
    "log softmax": lambda x: x.log_softmax(-1),
}

UNARIES: Rows = {
    **{
        name: getattr(torch, name)
        for name in (
            "exp", "log", "sqrt", "rsqrt", "abs", "neg", "sin", "cos", "tan", "sinh", "cosh",
            "atan", "asinh", "ceil", "floor", "erf", "sign", "round", "reciprocal", "square",
        )
    },
    "asin": lambda x: torch.asin(x / 4),
    "acos": lambda x: torch.acos(x / 4),
    "acosh": lambda x: torch.acosh(x + 1),
    "atanh": lambda x: torch.atanh(x / 4),
    "round halves": lambda x: torch.round(torch.floor(x * 8) / 2),
    "not": lambda x: ~(x > 1),
    "isnan": lambda x: torch.isnan(torch.log(x - 1)),
    "isinf": lambda x: torch.isinf(1 / torch.relu(x - 1)),
}  # fmt: skip

ELEMENTWISE: Rows = {
    "add": lambda a, b, i, j: a + b,
    "mul": lambda a, b, i, j: a * b,
    "sub": lambda a, b, i, j: a - 2 * b,
    "div": lambda a, b, i, j: a / b,
    "pow": lambda a, b, i, j: b**a,
    "max": lambda a, b, i, j: torch.maximum(a, b),
    "min": lambda a, b, i, j: torch.minimum(a, b),
    "floor div": lambda a, b, i, j: torch.floor_divide(a, b),
    "floor div int": lambda a, b, i, j: torch.div(i, j, rounding_mode="floor"),
    "trunc div int": lambda a, b, i, j: torch.div(i, j, rounding_mode="trunc"),
    "remainder int": lambda a, b, i, j: torch.remainder(i, j),
    "fmod": lambda a, b, i, j: torch.fmod(a, b),
    "int arithmetic": lambda a, b, i, j: i * 3 - j,
    "eq": lambda a, b, i, j: i == j,
    "lt": lambda a, b, i, j: a < b,
    "ge": lambda a, b, i, j: a >= b,
    "and": lambda a, b, i, j: (a > 0) & (b > 1),
    "or": lambda a, b, i, j: (a > 0) | (b > 1),
    "xor": lambda a, b, i, j: (a > 0) ^ (b > 1),
    "where": lambda a, b, i, j: torch.where(a > 0, a, b),
    "cast": lambda a, b, i, j: (a * 10).int() + i.int(),
    "cast bool": lambda a, b, i, j: (i == j).float() + i.bool().float(),
    "half": lambda a, b, i, j: (a.half() * b.half()).float(),
}

MATRICES: Rows = {
    "matmul": lambda a, b: a @ b,
    "transposed": lambda a, b: a @ a.transpose(-1, -2),
    "broadcast": lambda a, b: a @ b[:1],
    "vector": lambda a, b: a[0, 0] @ b[0, 0, :, 0],
    "linear": Linear(5, 7),
    "einsum": lambda a, b: torch.einsum("bhij,bhjk->bihk", a, b),
    "einsum outer": lambda a, b: torch.einsum("bhij,bhjk->ik", a, b),
    "attention": lambda a, b: F.scaled_dot_product_attention(a, a, a),
}

NORMALIZATIONS: Rows = {
    "layer": Gated(nn.LayerNorm(8)),
    "layer of two": Gated(nn.LayerNorm((6, 8))),
    "layer without affine": Gated(nn.LayerNorm(8, elementwise_affine=False)),
    "group": Gated(nn.GroupNorm(2, 4)),
    "group of one": Gated(nn.GroupNorm(1, 4)),
    "group per channel": Gated(nn.GroupNorm(4, 4, eps=1e-2)),
    "instance": Gated(nn.InstanceNorm2d(4, affine=True)),
    "batch": Gated(nn.BatchNorm2d(4).eval()),
    "rms": Gated(nn.RMSNorm(8)),
}

REDUCTIONS: Rows = {
    "sum": lambda x: x.sum(1),
    "mean keeps": lambda x: x.mean((2, 3), keepdim=True),
    "max": lambda x: x.amax((1, 2)),
    "min": lambda x: x.amin(-1),
    "prod": lambda x: x.prod(2),
    "var": lambda x: x.var(1, unbiased=False),
    "norm": lambda x: torch.linalg.vector_norm(x, dim=1),
    "logsumexp": lambda x: x.logsumexp(1),
    "argmax": lambda x: x.argmax(1),
    "argmin keeps": lambda x: x.argmin(2, keepdim=True),
    "topk": lambda x: x.topk(2, dim=1).values,
    "topk places": lambda x: x.topk(3, dim=-1, largest=False).indices,
    "cumsum": lambda x: x.cumsum(2),
    "any": lambda x: (x > 2).any(1),
    "all": lambda x: (x > -2).all(1),
}

SHAPES: Rows = {
    "reshape": lambda x, i: x.reshape(2, -1),
    "permute": lambda x, i: x.permute(3, 0, 2, 1),
    "permute, reshape": lambda x, i: x.permute(0, 2, 1, 3).reshape(2, 5, -1),
    "flatten": lambda x, i: x.flatten(1),
    "unsqueeze": lambda x, i: x.unsqueeze(2).squeeze(0 if x.shape[0] == 1 else 2),
    "slice": lambda x, i: x[:, 1:, :, 2:5],
    "slice, steps": lambda x, i: x[:, ::2, 1:4:2, -3:],
    "select": lambda x, i: x[:, 2],
    "flip": lambda x, i: x.flip(2, 3),
    "roll": lambda x, i: torch.roll(x, (1, -2), (2, 3)),
    "expand": lambda x, i: x[:, :1].expand(2, 4, 5, 6),
    "repeat": lambda x, i: x.repeat(1, 2, 1, 3),
    "repeat each": lambda x, i: x.repeat_interleave(2, 1),
    "cat": lambda x, i: torch.cat([x, x[:, :2], -x], 1),
    "stack": lambda x, i: torch.stack([x, x * 2], 1),
    "split": lambda x, i: x.split([1, 3], 1)[1] * 2,
    "chunk": lambda x, i: x.chunk(2, 3)[1] + x.chunk(2, 3)[0],
    "unbind": lambda x, i: x.unbind(1)[3],
    "unfold": lambda x, i: x.unfold(3, 3, 2),
    "pad": lambda x, i: F.pad(x, (1, 2, 0, 3), value=0.7),
    "pad reflect": lambda x, i: F.pad(x, (2, 3, 1, 2), mode="reflect"),
    "pad edge": lambda x, i: F.pad(x, (2, 3, 1, 2), mode="replicate"),
    "pad wrap": lambda x, i: F.pad(x, (2, 3, 1, 2), mode="circular"),
    "crop": lambda x, i: F.pad(x, (-1, 2, -2, 0)),
    "shuffle pixels": lambda x, i: F.pixel_shuffle(x, 2),
    "unshuffle pixels": lambda x, i: F.pixel_unshuffle(x[..., :4, :], 2),
    "triangle": lambda x, i: x.tril(-1),
    "arange": lambda x, i: torch.arange(2, 14, 3) + x[0, 0, 0, 0],
}

INDEXING: Rows = {
    "index select": lambda x, i, e: x.index_select(1, i[0]),
    "embedding": lambda x, i, e: F.embedding(i, x[0]),
    "constant places": lambda x, i, e: x[:, torch.tensor([2, 0, 2])],
    "take along": lambda x, i, e: x.gather(1, e),
    "advanced": lambda x, i, e: x[:, i[0], i[0]],
    "advanced apart": lambda x, i, e: x[i[0] % 2, :, i[0]],
    "scatter": lambda x, i, e: x.scatter(1, e[:, :1], 7.0),
    "put": lambda x, i, e: torch.index_put(
        x, (torch.tensor([1, 0]), torch.tensor([0, 3])), x[:, 1]
    ),
    "write a slice": lambda x, i, e: x.slice_scatter(x[:, :2] * 2, 1, 1, 3),
    "write one": lambda x, i, e: x.select_scatter(x[:, 0] * 3, 1, 2),
    "one hot": lambda x, i, e: F.one_hot(i, 9),
    "masked": lambda x, i, e: x.masked_fill(x > 0.3, -5.0),
}

RESIZES: Rows = {
    "nearest": lambda x, g: F.interpolate(x, size=(9, 13)),
    "nearest down": lambda x, g: F.interpolate(x, size=(3, 5)),
    "nearest exact": lambda x, g: F.interpolate(x, size=(7, 11), mode="nearest-exact"),
    "linear": lambda x, g: F.interpolate(x, size=(9, 13), mode="bilinear"),
    "linear down": lambda x, g: F.interpolate(x, size=(3, 5), mode="bilinear"),
    "linear corners": lambda x, g: F.interpolate(
        x, size=(9, 13), mode="bilinear", align_corners=True
    ),
    "linear to one": lambda x, g: F.interpolate(
        x, size=(1, 1), mode="bilinear", align_corners=True
    ),
    "cubic": lambda x, g: F.interpolate(x, size=(9, 13), mode="bicubic"),
    "cubic corners": lambda x, g: F.interpolate(x, size=(9, 5), mode="bicubic", align_corners=True),
    "twice": lambda x, g: F.interpolate(x, scale_factor=2.0, mode="bilinear"),
    "grid": lambda x, g: F.grid_sample(x, g, align_corners=False),
    "grid corners, edge": lambda x, g: F.grid_sample(
        x, g, padding_mode="border", align_corners=True
    ),
    "grid nearest": lambda x, g: F.grid_sample(x, g, mode="nearest", align_corners=False),
    "grid reflect": lambda x, g: F.grid_sample(
        x, g, padding_mode="reflection", align_corners=False
    ),
    "grid cubic": lambda x, g: F.grid_sample(x, g, mode="bicubic", align_corners=False),
}


def operands() -> tuple[Tensor, ...]:
    i, j = torch.randint(-9, 9, (2, 3)), torch.tensor([[-2, 3, 5], [2, -3, 1]])
    return randn(2, 3), positive(1, 3), i, j


def places() -> tuple[Tensor, ...]:
    return randn(2, 4, 4), torch.tensor([[0, 3, 1], [2, 2, 0]]), torch.randint(0, 4, (2, 3, 4))


FAMILIES = {
    "convolution": Family(
        CONVOLUTIONS, lambda: (randn(1, 4, 11, 12),), "CONVOLUTION DECONVOLUTION"
    ),
    "volume": Family(VOLUMES, lambda: (randn(1, 2, 7, 6, 5),), "CONVOLUTION POOLING RESIZE"),
    "pooling": Family(POOLINGS, lambda: (randn(2, 3, 9, 12),), "POOLING"),
    "activation": Family(ACTIVATIONS, lambda: (randn(2, 5, 7) * 3,), "ACTIVATION SOFTMAX"),
    "unary": Family(UNARIES, lambda: (positive(3, 7) * 2,), "UNARY"),
    "elementwise": Family(ELEMENTWISE, operands, "ELEMENTWISE SELECT CAST"),
    "matrix": Family(
        MATRICES, lambda: (randn(2, 3, 4, 5), randn(2, 3, 5, 6)), "MATRIX_MULTIPLY EINSUM"
    ),
    "normalization": Family(NORMALIZATIONS, lambda: (randn(2, 4, 6, 8),), "NORMALIZATION"),
    "reduction": Family(REDUCTIONS, lambda: (randn(2, 4, 3, 5),), "REDUCE TOPK CUMULATIVE"),
    "shape": Family(SHAPES, lambda: (randn(2, 4, 5, 6), randn(1)), "SHUFFLE SLICE CONCATENATION"),
    "index": Family(INDEXING, places, "GATHER SCATTER"),
    "resize": Family(RESIZES, lambda: (randn(1, 2, 6, 7), randn(1, 4, 5, 2)), "RESIZE GRID_SAMPLE"),
}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_parsed_operators_equal_eager(family: Family) -> None:
    torch.manual_seed(1)
    table, inputs = Table(family.rows).eval(), family.inputs()
    with torch.no_grad():
        expected = table(*inputs)
    parsed = parse(table, inputs, trt)
    interpreter = Interpreter(parsed.definition, trt)
    results = interpreter.run(feeds_for(parsed, inputs)).values()
    for name, result, eager in zip(family.rows, results, expected, strict=True):
        assert_close(result, eager, name)
    assert set(family.kinds.split()) <= set(interpreter.kinds)
