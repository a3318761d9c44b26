# SPDX-License-Identifier: Apache-2.0
"""Operators that read memory instead of elements get an input whose memory is known."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from edge_trt.lowering.edit import (
    add_constant,
    arguments,
    aten,
    calls,
    insert,
    module_path,
    retarget,
    tensor,
)
from edge_trt.lowering.shapes import same_size, static_shape

_REINTERPRET = {aten.view_as_complex.default, aten.view.dtype}


def rewrite_strided_views(gm: fx.GraphModule) -> bool:
    """Make the result of every operator a function of its input's elements, whatever their strides.

    ::

        before  as_strided(x, [3, 2], [1, 1], 0)                 # x: 4 elements
        after   reshape(index_select(reshape(x, [-1]), 0, <0 1 1 2 2 3>), [3, 2])

    Later passes move and drop copies, and so change strides. ``view_as_complex`` and bit casts get
    a ``contiguous`` of their own, which ``remove_no_ops`` keeps.
    """
    changed = False
    for node in calls(gm):
        if node.target is aten.as_strided.default:
            changed |= _gather(gm, node)
        elif node.target in _REINTERPRET:
            changed |= _pin(gm, node)
    return changed


def _pin(gm: fx.GraphModule, node: fx.Node) -> bool:
    source = node.args[0]
    if isinstance(source, fx.Node) and source.target is aten.contiguous.default:
        return False
    node.args = (insert(gm, node, aten.contiguous.default, (source,)), *node.args[1:])
    return True


def _gather(gm: fx.GraphModule, node: fx.Node) -> bool:
    """Write an ``as_strided`` of static size as a gather with constant indices."""
    bound, source = arguments(node), tensor(node.args[0])
    numbers = [*bound["size"], *bound["stride"], bound["storage_offset"] or 0]
    if source is None:
        return False
    if static_shape(node.args[0]) is None or not _all_int(numbers):
        return _gather_counted(gm, node)
    strides = source.stride()
    if not _all_int([*strides, source.storage_offset()]):
        return False
    indices = _indices(source, bound["size"], bound["stride"], bound["storage_offset"])
    if indices is None:
        return False
    name = f"{module_path(node)}.{node.name}.indices".lstrip(".")
    index = add_constant(gm, node, indices, name)
    flat = insert(gm, node, aten.reshape.default, (node.args[0], [-1]))
    picked = insert(gm, node, aten.index_select.default, (flat, 0, index))
    return retarget(node, aten.reshape.default, (picked, list(bound["size"])))


def _gather_counted(gm: fx.GraphModule, node: fx.Node) -> bool:
    """Write an ``as_strided`` of a contiguous input as a gather, its indices computed."""
    bound, source = arguments(node), tensor(node.args[0])
    if source is None or not _is_contiguous(source):
        return False
    sizes, strides, rank = bound["size"], bound["stride"], len(bound["size"])
    flat = insert(gm, node, aten.reshape.default, (node.args[0], [-1]))
    index: Any = None
    for axis, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
        steps = insert(gm, node, aten.arange.start_step, (0, size, 1))
        steps = insert(gm, node, aten.mul.Tensor, (steps, stride))
        ones = [1] * (rank - 1 - axis)
        steps = insert(gm, node, aten.reshape.default, (steps, [-1, *ones]))
        index = steps if index is None else insert(gm, node, aten.add.Tensor, (index, steps))
    if index is None:
        return False
    if bound["storage_offset"]:
        index = insert(gm, node, aten.add.Tensor, (index, bound["storage_offset"]))
    index = insert(gm, node, aten.reshape.default, (index, [-1]))
    picked = insert(gm, node, aten.index_select.default, (flat, 0, index))
    return retarget(node, aten.reshape.default, (picked, list(sizes)))


def _is_contiguous(source: torch.Tensor) -> bool:
    """Whether elements lie in order from the start of the memory, for all symbolic sizes."""
    expected: Any = 1
    for size, stride in zip(reversed(source.shape), reversed(source.stride()), strict=True):
        if not (same_size(stride, expected) or same_size(size, 1)):
            return False
        expected = expected * size
    return same_size(source.storage_offset(), 0)


def _all_int(numbers: list[Any]) -> bool:
    return all(isinstance(number, int) for number in numbers)


def _indices(
    source: torch.Tensor, size: Any, stride: Any, offset: int | None
) -> torch.Tensor | None:
    """Return which element of ``source`` each of the view reads; None if it reads others."""
    start = int(source.storage_offset())
    span = start + 1 + sum((n - 1) * s for n, s in zip(source.shape, source.stride(), strict=True))
    reach = (start if offset is None else offset) + 1
    reach += sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if reach > span or 0 in source.shape or 0 in size:
        return None
    owner = torch.full((span,), -1)
    elements = torch.arange(source.numel()).reshape(tuple(source.shape))
    owner.as_strided(tuple(source.shape), source.stride(), start).copy_(elements)
    view = owner.as_strided(tuple(size), tuple(stride), start if offset is None else offset)
    indices = view.reshape(-1).clone()
    return None if bool((indices < 0).any()) else indices
