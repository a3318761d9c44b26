# SPDX-License-Identifier: Apache-2.0
"""Rules for operators that make a tensor from nothing: ``full`` and ``arange.start_step``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from edge_trt.lowering.edit import arguments, aten, retarget, tensor
from edge_trt.lowering.shapes import size_arguments

if TYPE_CHECKING:
    from edge_trt.lowering.variants_views import Rule


def _full(fill: Callable[[dict[str, Any]], Any]) -> Rule:
    """Make a rule from a function that picks the fill value out of the arguments."""

    def rule(gm: fx.GraphModule, node: fx.Node) -> bool:
        result, bound = tensor(node), arguments(node)
        number = fill(bound)
        if result is None or isinstance(number, fx.Node):
            return False
        source = bound.get("self")
        hints = [*bound.get("size", ()), *([source] if isinstance(source, fx.Node) else [])]
        sizes = size_arguments(gm, result.shape, hints, node)
        if sizes is None or -1 in sizes:
            return False
        return retarget(node, aten.full.default, (sizes, number), _placement(result))

    return rule


def _arange(gm: fx.GraphModule, node: fx.Node) -> bool:
    result, bound = tensor(node), arguments(node)
    if result is None:
        return False
    args = (bound.get("start", 0), bound["end"], bound.get("step", 1))
    return retarget(node, aten.arange.start_step, args, _placement(result))


def _placement(result: torch.Tensor) -> dict[str, Any]:
    """Keep what decides the values; layout and pinning do not."""
    device = {} if result.device.type == "cpu" else {"device": result.device}
    return {"dtype": result.dtype, **device}


_zero, _one = _full(lambda _: 0), _full(lambda _: 1)
_given = _full(lambda bound: bound["fill_value"])

RULES: dict[object, Rule] = {
    aten.zeros.default: _zero,
    aten.zeros_like.default: _zero,
    aten.new_zeros.default: _zero,
    aten.zero.default: _zero,
    aten.empty_like.default: _zero,
    aten.new_empty.default: _zero,
    aten.empty_strided.default: _zero,
    aten.new_empty_strided.default: _zero,
    aten.ones.default: _one,
    aten.ones_like.default: _one,
    aten.new_ones.default: _one,
    aten.full.default: _given,
    aten.full_like.default: _given,
    aten.new_full.default: _given,
    aten.fill.Scalar: _full(lambda bound: bound["value"]),
    aten.scalar_tensor.default: _full(lambda bound: bound["s"]),
    aten.arange.default: _arange,
    aten.arange.start: _arange,
    aten.arange.start_step: _arange,
}
