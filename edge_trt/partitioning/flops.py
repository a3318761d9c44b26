# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations of a call, counted from shapes: a multiply-add is two."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from edge_trt.conversion.registry import bind

aten = torch.ops.aten

_NUMBER_BYTES = 8  # a size crosses as an int64


def flops_of(node: fx.Node) -> int:
    """Operations of one call at the sizes the model was captured with."""
    if node.op != "call_function":
        return 0
    count = _COUNTS.get(node.target)
    return count(node) if count is not None else sum(map(_elements, _tensors(node.meta.get("val"))))


def bytes_of(node: fx.Node) -> int:
    """Size of all that a node yields, at the sizes the model was captured with."""
    value = node.meta.get("val")
    tensors = _tensors(value)
    if not tensors:
        return 0 if value is None else _NUMBER_BYTES
    return sum(_elements(t) * t.element_size() for t in tensors)


def _shape(node: fx.Node) -> list[int]:
    return [_size(s) for s in node.meta["val"].shape]


def _size(size: int | torch.SymInt) -> int:
    return size if isinstance(size, int) else int(size.node.hint or 1)


def _elements(tensor: torch.Tensor) -> int:
    return math.prod(map(_size, tensor.shape))


def _tensors(value: Any) -> list[torch.Tensor]:
    values = value if isinstance(value, (tuple, list)) else [value]
    return [v for v in values if isinstance(v, torch.Tensor)]


def _convolution(node: fx.Node) -> int:
    """Every output element is a dot product over the kernel without its first dimension."""
    arguments = bind(node)
    weight = _shape(arguments["weight"])
    elements = _elements(node.meta["val"])
    transposed = "transpose" in str(node.target) or arguments.get("transposed", False)
    if transposed:
        elements = math.prod(_shape(arguments["input"]))
    return 2 * elements * math.prod(weight[1:])


def _product(name: str) -> Callable[[fx.Node], int]:
    """Every output element is a dot product over the last dimension of an argument."""
    return lambda node: 2 * _elements(node.meta["val"]) * _shape(bind(node)[name])[-1]


def _attention(node: fx.Node) -> int:
    arguments = bind(node)
    *batch, rows, width = _shape(arguments["query"])
    columns, values = _shape(arguments["key"])[-2], _shape(arguments["value"])[-1]
    return 2 * math.prod(batch) * rows * columns * (width + values)


_COUNTS: dict[Any, Callable[[fx.Node], int]] = {
    **dict.fromkeys(
        [
            aten.conv1d.default,
            aten.conv2d.default,
            aten.conv3d.default,
            aten.conv1d.padding,
            aten.conv2d.padding,
            aten.conv3d.padding,
            aten.conv_transpose1d.default,
            aten.conv_transpose2d.input,
            aten.conv_transpose3d.input,
            aten.convolution.default,
        ],
        _convolution,
    ),
    aten.linear.default: _product("input"),
    aten.matmul.default: _product("self"),
    aten.mm.default: _product("self"),
    aten.bmm.default: _product("self"),
    aten.addmm.default: _product("mat1"),
    aten.baddbmm.default: _product("batch1"),
    aten.scaled_dot_product_attention.default: _attention,
}
