# SPDX-License-Identifier: Apache-2.0
"""Bitwise operations and shifts, on bool tensors and on integers with a number.

TensorRT has none on integers. With a number they are arithmetic in two's complement, in which
x | c = x + c - (x & c), and x & c picks a few runs of bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import fx

from edge_trt.conversion.context import Context, widened
from edge_trt.conversion.registry import converter, refuse, table
from edge_trt.network.builder import Scalar
from edge_trt.network.graph import Tensor
from edge_trt.network.layers.elementwise import ElementWiseOp
from edge_trt.network.types import DType

aten = torch.ops.aten
Operand = Tensor | Scalar

BITWISE: dict[object, ElementWiseOp] = {
    aten.bitwise_and.Tensor: "AND", aten.bitwise_and.Scalar: "AND", aten.__and__.Tensor: "AND",
    aten.bitwise_or.Tensor: "OR", aten.bitwise_or.Scalar: "OR", aten.__or__.Tensor: "OR",
    aten.bitwise_xor.Tensor: "XOR", aten.bitwise_xor.Scalar: "XOR", aten.__xor__.Tensor: "XOR",
    aten.__and__.Scalar: "AND", aten.__or__.Scalar: "OR", aten.__xor__.Scalar: "XOR",
    aten.bitwise_and.Scalar_Tensor: "AND", aten.bitwise_or.Scalar_Tensor: "OR",
    aten.bitwise_xor.Scalar_Tensor: "XOR",
}  # fmt: skip
MOST_RUNS = 4
"""Runs of bits that are still cheaper than a segment of their own."""

TWO_TENSORS = "TensorRT has no bitwise operation on two integer tensors: use bool tensors"


def _bool_or_number(self: Any, other: Any) -> str | None:
    operands = (self, other)
    tensors = [v.meta["val"] for v in operands if isinstance(v, fx.Node)]
    numbers = [v for v in operands if not isinstance(v, fx.Node)]
    if all(t.dtype is torch.bool for t in tensors) and all(isinstance(n, bool) for n in numbers):
        return None
    if len(tensors) == 2 or not isinstance(tensors[0], torch.Tensor):
        return TWO_TENSORS
    if tensors[0].dtype is torch.bool:
        return "TensorRT has no bitwise operation on bool and integer: cast the bool tensor first"
    mask, limits = int(numbers[0]), torch.iinfo(tensors[0].dtype)
    runs = min(len(list(_runs(m, limits.bits))) for m in (mask, ~mask))
    if runs <= MOST_RUNS and limits.min <= mask <= limits.max:
        return None
    return (
        f"bitwise operations with {mask} would pick too many runs of bits: use a mask of a few runs"
    )


def _runs(mask: int, bits: int) -> Iterator[tuple[int, int]]:
    """First bit and length of each run of ones in a mask of some bits."""
    place = 0
    while place < bits:
        length = 0
        while place + length < bits and mask >> (place + length) & 1:
            length += 1
        if length:
            yield place, length
        place += length + 1


def bitwise(ctx: Context, op: ElementWiseOp, self: Operand, other: Operand) -> Tensor:
    x, number = (self, other) if isinstance(self, Tensor) else (other, self)
    assert isinstance(x, Tensor)
    if ctx.result.dtype is DType.BOOL:
        return ctx.elementwise(op, x, number)
    assert not isinstance(number, Tensor)
    wide = ctx.cast(x, widened(x.dtype))
    common = _masked(ctx, wide, int(number), 8 * x.dtype.numpy.itemsize)
    if op == "AND":
        return ctx.as_result(common)
    taken = common if op == "OR" else ctx.elementwise("PROD", common, 2)
    added = ctx.elementwise("SUM", wide, int(number))
    return ctx.as_result(ctx.elementwise("SUB", added, taken))


table(
    BITWISE,
    bitwise,
    when=_bool_or_number,
    note="bool, or integers with a number of few runs of bits",
)


def _masked(ctx: Context, x: Tensor, mask: int, bits: int) -> Tensor:
    """X & mask: the runs of the mask, or x without the runs of its complement."""
    runs, gaps = list(_runs(mask, bits)), list(_runs(~mask, bits))
    if len(runs) <= len(gaps):
        return _picked(ctx, x, runs, bits)
    return ctx.elementwise("SUB", x, _picked(ctx, x, gaps, bits)) if gaps else x


def _picked(ctx: Context, x: Tensor, runs: list[tuple[int, int]], bits: int) -> Tensor:
    total: Tensor | None = None
    for place, length in runs:
        part = x
        if place + length < bits:  # what lies above the run
            part = ctx.elementwise("SUB", x, _without_low(ctx, x, place + length))
        if place:
            part = _without_low(ctx, part, place)
        total = part if total is None else ctx.elementwise("SUM", total, part)
    return ctx.elementwise("PROD", x, 0) if total is None else total


def _without_low(ctx: Context, x: Tensor, bits: int) -> Tensor:
    """X with its lowest bits cleared."""
    step = 1 << bits
    if bits == 8 * x.dtype.numpy.itemsize - 1:  # the sign is left, which no positive number holds
        signs = ctx.elementwise("LESS", x, 0)
        return ctx.select(signs, ctx.like(x, -step), ctx.like(x, 0))
    return ctx.elementwise("PROD", ctx.elementwise("FLOOR_DIV", x, step), step)


@converter(aten.bitwise_not.default)
def bitwise_not(ctx: Context, self: Tensor) -> Tensor:
    if self.dtype is DType.BOOL:
        return ctx.unary("NOT", self)
    return ctx.promoted("SUB", -1, self)


def _known_shift(self: fx.Node, other: object) -> str | None:
    if self.meta["val"].dtype is torch.bool:
        return "TensorRT has no shift of bool: cast to int64 in the model"
    bits = torch.iinfo(self.meta["val"].dtype).bits
    if isinstance(other, int) and 0 <= other < bits - 1:
        return None
    return f"TensorRT has no shift by {other}: shift integers by a number from 0 to {bits - 2}"


SHIFTS = ("bitwise_left_shift", "bitwise_right_shift")
SHIFT: dict[object, ElementWiseOp] = {
    aten.bitwise_left_shift.Tensor_Scalar: "PROD", aten.__lshift__.Scalar: "PROD",
    aten.bitwise_right_shift.Tensor_Scalar: "FLOOR_DIV", aten.__rshift__.Scalar: "FLOOR_DIV",
}  # fmt: skip

table(
    SHIFT,
    lambda ctx, op, self, other: ctx.promoted(op, self, 1 << other),
    when=_known_shift,
    note="integers by a known number",
)
refuse(
    "TensorRT has no shift by a tensor: shift by a number, or multiply by powers of two",
    *(
        getattr(getattr(aten, name), kind)
        for name in SHIFTS
        for kind in ("Tensor", "Scalar_Tensor")
    ),
    aten.__lshift__.Tensor,
    aten.__rshift__.Tensor,
)
