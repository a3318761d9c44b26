# SPDX-License-Identifier: Apache-2.0
"""Padding by slices that reach outside their tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from edge_trt.conversion.context import Context, ZeroPadded
from edge_trt.conversion.registry import converter, table
from edge_trt.network.builder import Scalar, Size, SliceMode
from edge_trt.network.graph import Tensor
from edge_trt.network.layers.elementwise import ElementWiseOp

aten = torch.ops.aten

MODES: dict[str, SliceMode] = {
    "constant": "FILL",
    "reflect": "REFLECT",
    "replicate": "CLAMP",
    "circular": "WRAP",
}
NAMED: dict[object, str] = {
    aten.reflection_pad1d.default: "reflect",
    aten.reflection_pad2d.default: "reflect",
    aten.reflection_pad3d.default: "reflect",
    aten.replication_pad1d.default: "replicate",
    aten.replication_pad2d.default: "replicate",
    aten.replication_pad3d.default: "replicate",
}


def _padded(
    ctx: Context, mode: str, self: Tensor, padding: Sequence[Size], value: Scalar | None = None
) -> Tensor:
    """PyTorch lists (before, after) from the last dimension on."""
    pairs = zip(padding[::2], padding[1::2], strict=True)
    pads = {self.rank - 1 - i: pair for i, pair in enumerate(pairs)}
    if mode == "circular":  # what is cut off does not come in again at the other side
        cuts = {axis: _each(ctx, "MIN", pair) for axis, pair in pads.items()}
        pads = {axis: _each(ctx, "MAX", pair) for axis, pair in pads.items()}
        self = ctx.pad(self, cuts, "CLAMP")
    fill = ctx.like(self, value or 0) if mode == "constant" else None
    result = ctx.pad(self, pads, MODES[mode], fill)
    if fill is not None and not value and result is not self:
        _note_zeros(ctx, result, self, pads)
    return result


def _note_zeros(
    ctx: Context, result: Tensor, source: Tensor, pads: Mapping[int, tuple[Size, Size]]
) -> None:
    """Tells a convolution, which can do the same, of padding that is known and cuts nothing."""
    amounts: dict[int, tuple[int, int]] = {}
    for axis, (before, after) in pads.items():
        if not isinstance(before, int) or not isinstance(after, int) or min(before, after) < 0:
            return
        if before or after:
            amounts[axis] = before, after
    ctx.zero_padded[result] = ZeroPadded(source, amounts)


def _each(ctx: Context, op: ElementWiseOp, pair: tuple[Size, Size]) -> tuple[Size, Size]:
    return ctx.calculate(op, pair[0], 0), ctx.calculate(op, pair[1], 0)


table(NAMED, lambda ctx, mode, self, padding: _padded(ctx, mode, self, padding))


@converter(aten.constant_pad_nd.default)
def constant_pad_nd(ctx: Context, self: Tensor, pad: Sequence[Size], value: Scalar) -> Tensor:
    return _padded(ctx, "constant", self, pad, value)


@converter(aten.pad.default)
def pad_(ctx: Context, self: Tensor, pad: Sequence[Size], mode: str, value: float | None) -> Tensor:
    return _padded(ctx, mode, self, pad, value)
