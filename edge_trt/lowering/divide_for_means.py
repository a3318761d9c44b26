# SPDX-License-Identifier: Apache-2.0
"""Means of what may be empty are quotients: a layer's mean of no elements is 0, PyTorch's NaN."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
from sympy import sympify
from torch.utils._sympy.value_ranges import bound_sympy

from edge_trt.lowering.edit import arguments, aten, calls, insert, replace, tensor
from edge_trt.lowering.unlifting import RANGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import fx

_MEANS = (aten.mean.dim, aten.mean.default)


def divide_for_means(gm: fx.GraphModule) -> bool:
    """Write a mean over an axis that a run may find empty as a sum divided by a count.

    ::

        before  mean(x, [0])
        after   div(sum(x, [0]), sym_size(x, 0))

    Torch's own bounds of a size start at 2; the ranges are those that were asked for.
    """
    ranges = gm.meta.get(RANGES, {})
    changed = False
    for node in calls(gm):
        source = tensor(node.args[0]) if node.target in _MEANS else None
        if source is None or source.dim() == 0:
            continue
        axes = arguments(node).get("dim") or range(source.dim())
        if any(_may_be_empty(source.shape[axis], ranges) for axis in axes):
            _divide(gm, node, list(axes))
            changed = True
    return changed


def _may_be_empty(size: int | torch.SymInt, ranges: Mapping[Any, Any]) -> bool:
    if isinstance(size, int):
        return False
    known = {**size.node.shape_env.var_to_range, **ranges}
    return bool(bound_sympy(sympify(size.node.expr), known).lower <= 0)


def _divide(gm: fx.GraphModule, node: fx.Node, axes: list[int]) -> None:
    x, result = node.args[0], node.meta["val"]
    wide = torch.float32 if result.dtype.itemsize < 4 else result.dtype  # a sum is larger
    options = {"dtype": wide}
    keepdim = bool(arguments(node).get("keepdim", False))
    total = insert(gm, node, aten.sum.dim_IntList, (x, axes, keepdim), options)
    count: Any = 1
    for axis in axes:
        size = insert(gm, node, aten.sym_size.int, (x, axis))
        count = size if count == 1 else insert(gm, node, operator.mul, (count, size))
    mean = insert(gm, node, aten.div.Tensor, (total, count))
    if wide != result.dtype:
        mean = insert(gm, node, aten._to_copy.default, (mean,), {"dtype": result.dtype})
    replace(node, mean)
