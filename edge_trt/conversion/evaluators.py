# SPDX-License-Identifier: Apache-2.0
"""What is computed on sizes and Python values while converting.

Sizes are numbers when they are known; symbolic ones are 0-d int64 tensors of the network, so the
same expression becomes a few shape layers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import evaluator
from edge_trt.network.builder import Size
from edge_trt.network.graph import Tensor
from edge_trt.network.layers.elementwise import ElementWiseOp

aten = torch.ops.aten

BINARY: dict[Any, ElementWiseOp] = {
    operator.add: "SUM",
    operator.sub: "SUB",
    operator.mul: "PROD",
    operator.floordiv: "FLOOR_DIV",
    torch.sym_max: "MAX",
    torch.sym_min: "MIN",
}


def _calculation(op: ElementWiseOp) -> Callable[[Context, Size, Size], Size]:
    def calculate(ctx: Context, a: Size, b: Size) -> Size:
        return ctx.calculate(op, a, b)

    return calculate


for function, op in BINARY.items():
    evaluator(function)(_calculation(op))


@evaluator(operator.getitem)
def getitem(ctx: Context, values: Any, index: Any) -> Any:
    return values[index]


@evaluator(aten.sym_size.int)
def sym_size(ctx: Context, self: Tensor, dim: int) -> Size:
    return ctx.size(self, dim)


@evaluator(aten.sym_numel.default)
def sym_numel(ctx: Context, self: Tensor) -> Size:
    return ctx.product(ctx.sizes(self))


@evaluator(operator.mod)
def mod(ctx: Context, a: Size, b: Size) -> Size:
    return ctx.modulo(a, b)


@evaluator(operator.neg)
def neg(ctx: Context, a: Size) -> Size:
    return ctx.calculate("SUB", 0, a)


@evaluator(torch.sym_sum)
def sym_sum(ctx: Context, values: Sequence[Size]) -> Size:
    total: Size = 0
    for value in values:
        total = ctx.calculate("SUM", total, value)
    return total
