# SPDX-License-Identifier: Apache-2.0
"""Constant masks and counts are replaced by the places they speak of, whose number is known."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload

from edge_trt.lowering.edit import (
    add_constant,
    arguments,
    aten,
    calls,
    constant,
    insert,
    propagate,
    retarget,
    tensor,
    value,
)
from edge_trt.lowering.shapes import same_shape

_INDEXED = (
    aten.index.Tensor,
    aten._unsafe_index.Tensor,
    aten.index_put.default,
    aten._unsafe_index_put.default,
)


def place_constant_masks(gm: fx.GraphModule) -> bool:
    """Index by the places where a constant mask is true.

    ::

        before  y = index(x, [None, <mask>])     # x: [2, 5], y: [2, u0]
        after   y = index(x, [None, <places>])   # y: [2, 3]

    `nonzero`, `masked_select` and `repeat_interleave` of constants likewise. torch.export leaves
    the number of trues open, and with it the sizes of all that follows, which are inferred anew. A
    mask stays where that can't be done: before a branch or a loop.
    """
    changed: set[fx.Node] = set()
    for node in calls(gm):
        if node.target in _INDEXED:
            placed = _place_indices(gm, node)
        elif node.target in (aten.nonzero.default, aten.masked_select.default):
            placed = _place_result(gm, node)
        elif node.target in (aten.repeat_interleave.Tensor, aten.repeat_interleave.self_Tensor):
            placed = _place_repeats(gm, node)
        else:
            continue
        if placed:
            changed.add(node)
    _infer(gm, changed)
    return bool(changed)


def _place_indices(gm: fx.GraphModule, node: fx.Node) -> bool:
    indices = arguments(node)["indices"]
    if all(_mask(gm, index) is None for index in indices) or not _can_infer(node):
        return False
    flat = [place for index in indices for place in _places(gm, node, index)]
    return retarget(node, node.target, (node.args[0], flat, *node.args[2:]), node.kwargs)


def _place_result(gm: fx.GraphModule, node: fx.Node) -> bool:
    """`nonzero` of a constant is a constant; `masked_select` by one is an index."""
    *source, given = node.args
    mask = _mask(gm, given)
    if mask is None or not _can_infer(node):
        return False
    if not source:
        places = add_constant(gm, node, mask.nonzero(), f"{node.name}.places")
        return retarget(node, aten.alias.default, (places,))
    selected = tensor(source[0])
    if selected is None or not same_shape(selected.shape, mask.shape):
        return False
    return retarget(node, aten.index.Tensor, (*source, _places(gm, node, given)))


def _place_repeats(gm: fx.GraphModule, node: fx.Node) -> bool:
    """Repeats by constant counts are an index, those by one count need no places."""
    bound = arguments(node)
    counts = constant(gm, bound["repeats"])
    if counts is None or not _can_infer(node):
        return False
    source, dim = bound.get("self"), bound.get("dim")
    if source is not None and counts.numel() == 1:
        return retarget(node, aten.repeat_interleave.self_int, (source, int(counts), dim))
    found = torch.repeat_interleave(counts)
    places = add_constant(gm, node, found, f"{node.name}.places")
    if source is None:
        return retarget(node, aten.alias.default, (places,))
    if dim is None:
        source = insert(gm, node, aten.reshape.default, (source, [-1]))
    return retarget(node, aten.index_select.default, (source, dim or 0, places))


def _mask(gm: fx.GraphModule, index: Any) -> torch.Tensor | None:
    """The constant mask that an argument is, if it is one."""
    found = constant(gm, index)
    return found if found is not None and found.dtype is torch.bool else None


def _places(gm: fx.GraphModule, node: fx.Node, index: Any) -> list[Any]:
    """An index, or one for each dimension of a constant mask."""
    mask = _mask(gm, index)
    if mask is None:
        return [index]
    found = mask.nonzero(as_tuple=True)
    return [add_constant(gm, node, places, f"{index.name}.places") for places in found]


def _can_infer(node: fx.Node) -> bool:
    """Whether everything that follows is a call of an operator or of a function on sizes."""
    seen, open_ = {node}, [node]
    while open_:
        for user in open_.pop().users:
            if isinstance(user.target, torch._ops.HigherOrderOperator):
                return False
            if user not in seen:
                seen.add(user)
                open_.append(user)
    return True


def _infer(gm: fx.GraphModule, changed: set[fx.Node]) -> None:
    """Infer the values of the changed calls and of all that follows from them."""
    for node in gm.graph.nodes:
        if node.op != "call_function" or changed.isdisjoint((node, *node.all_input_nodes)):
            continue
        changed.add(node)
        if not (isinstance(node.target, OpOverload) and value(node) is None):  # an assertion
            node.meta["val"] = propagate(gm, node.target, node.args, node.kwargs)
            node.meta.pop("unbacked_bindings", None)
