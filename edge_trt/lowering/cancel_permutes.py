# SPDX-License-Identifier: Apache-2.0
"""A permutation that is undone after elementwise operators is dropped together with its inverse."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload

from edge_trt.lowering.edit import aten, calls, propagate, replace, tensor


def cancel_permutes(gm: fx.GraphModule) -> bool:
    """Sink a permutation through elementwise operators into its inverse, where both vanish.

    ::

        before  p = permute(x, [0, 2, 3, 1]); g = gelu(p); m = mul(g, 0.5); permute(m, [0, 3, 1, 2])
        after   g = gelu(x); mul(g, 0.5)

    Each operator between them must have a single reader and no other operand than numbers.
    """
    changed = False
    for node in calls(gm):
        if node.target is aten.permute.default:
            changed |= _cancel(gm, node)
    return changed


def _cancel(gm: fx.GraphModule, last: fx.Node) -> bool:
    between: list[fx.Node] = []
    node: Any = last.args[0]
    while _is_elementwise(node):
        between.append(node)
        node = node.all_input_nodes[0]
    if not between or node.target is not aten.permute.default:
        return False
    first: list[int] = list(node.args[1])
    if [first[dim] for dim in last.args[1]] != list(range(len(first))):  # type: ignore[union-attr]
        return False
    between[-1].replace_input_with(node, node.args[0])
    for moved in reversed(between):
        moved.meta["val"] = propagate(gm, moved.target, moved.args, moved.kwargs)
    replace(last, between[0])
    return True


def _is_elementwise(node: Any) -> bool:
    """Whether a call maps one tensor element by element, for one reader."""
    return (
        isinstance(node, fx.Node)
        and isinstance(node.target, OpOverload)
        and torch.Tag.pointwise in node.target.tags
        and len(node.users) == 1
        and len(node.all_input_nodes) == 1
        and tensor(node.all_input_nodes[0]) is not None
    )
