# SPDX-License-Identifier: Apache-2.0
"""What is computed on sizes and Python values while converting.

Sizes are numbers when they are known; symbolic ones are 0-d int64 tensors of the network, so the
same expression becomes a few shape layers. What leaves whole arithmetic becomes a table.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import evaluator
from edge_trt.conversion.size_functions import SizeFunction, function_of, no_table
from edge_trt.network.builder import Size
from edge_trt.network.graph import Tensor
from edge_trt.network.layers.elementwise import ElementWiseOp
from edge_trt.network.types import DType

aten = torch.ops.aten
Number = Size | float | SizeFunction

BINARY: dict[Any, ElementWiseOp] = {
    operator.add: "SUM",
    operator.sub: "SUB",
    operator.mul: "PROD",
    operator.floordiv: "FLOOR_DIV",
    torch.sym_max: "MAX",
    torch.sym_min: "MIN",
}
TABULATED: dict[Any, Callable[..., Any]] = {
    operator.truediv: operator.truediv,
    operator.pow: operator.pow,
    operator.eq: operator.eq,
    operator.ne: operator.ne,
    operator.lt: operator.lt,
    operator.le: operator.le,
    operator.gt: operator.gt,
    operator.ge: operator.ge,
    operator.and_: operator.and_,
    operator.or_: operator.or_,
    math.floor: math.floor,
    math.ceil: math.ceil,
    math.trunc: math.trunc,
    round: round,
    torch.sym_float: float,
    torch.sym_not: operator.not_,
    torch.sym_ite: lambda condition, then, other: then if condition else other,
    getattr(torch, "_sym_sqrt"): math.sqrt,  # noqa: B009 (made when torch is imported)
}
"""Functions of sizes, as Python computes them on numbers."""


def _calculation(function: Callable[..., Any], op: ElementWiseOp) -> Callable[..., Number]:
    def calculate(ctx: Context, a: Number, b: Number) -> Number:
        if isinstance(a, (int, Tensor)) and isinstance(b, (int, Tensor)):
            return ctx.calculate(op, a, b)
        return function_of(function, a, b)

    return calculate


def _fits(node: fx.Node) -> str | None:
    """Whole arithmetic always does; what is computed with fractions needs a table."""
    given = [a.meta["val"] if isinstance(a, fx.Node) else a for a in node.args]
    fractions = any(isinstance(value, (float, torch.SymFloat)) for value in given)
    return no_table(node) if fractions else None


for function, op in BINARY.items():
    evaluator(function, when=_fits)(_calculation(function, op))


def _tabulation(function: Callable[..., Any]) -> Callable[..., Any]:
    def tabulate(ctx: Context, a: Any, b: Any = None, c: Any = None) -> Any:
        return function_of(function, *(value for value in (a, b, c) if value is not None))

    return tabulate


for target, function in TABULATED.items():
    evaluator(target, when=no_table)(_tabulation(function))


@evaluator(operator.getitem)
def getitem(ctx: Context, values: Any, index: Any) -> Any:
    return values[index]


def _only_a_place(node: fx.Node) -> str | None:
    value = node.meta["val"]
    users = list(node.users)
    selects = all(u.target is aten.select.int and u.args[2] is node for u in users)
    if isinstance(value, torch.SymInt) and selects:
        return None
    return (
        "a number read out of a tensor shapes the computation, and TensorRT computes on the GPU:"
        " use the tensor itself, or index with the number only"
    )


@evaluator(aten.item.default, aten._local_scalar_dense.default, when=_only_a_place)
def item(ctx: Context, self: Tensor) -> Size:
    return ctx.reshape(ctx.cast(self, DType.INT64), [])


@evaluator(aten.sym_size.int)
def sym_size(ctx: Context, self: Tensor, dim: int) -> Size:
    return ctx.size(self, dim)


@evaluator(aten.sym_numel.default)
def sym_numel(ctx: Context, self: Tensor) -> Size:
    return ctx.product(ctx.sizes(self))


@evaluator(operator.mod, when=_fits)
def mod(ctx: Context, a: Number, b: Number) -> Number:
    if isinstance(a, (int, Tensor)) and isinstance(b, (int, Tensor)):
        return ctx.modulo(a, b)
    return function_of(operator.mod, a, b)


@evaluator(operator.neg, when=_fits)
def neg(ctx: Context, a: Number) -> Number:
    return ctx.calculate("SUB", 0, a) if isinstance(a, Tensor) else function_of(operator.neg, a)


@evaluator(torch.sym_sum)
def sym_sum(ctx: Context, values: Sequence[Size]) -> Size:
    total: Size = 0
    for value in values:
        total = ctx.calculate("SUM", total, value)
    return total
