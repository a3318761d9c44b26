# SPDX-License-Identifier: Apache-2.0
"""Which nodes share memory, as export saw it.

Export records a FakeTensor for every node, and fake tensors have storages of their own: two values
share memory in the traced program when their fake storages are one. That also covers operators
whose schema doesn't say so (``to`` without a change returns its input, ``einsum`` may be a view).
The one known exception is ``dropout``, which returns its input in eval mode but a copy on fake
tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from edge_trt.lowering.edit import arguments, aten, value, writes

if TYPE_CHECKING:
    from torch import fx
from torch._C._functorch import get_unwrapped, is_batchedtensor


def written_memory(gm: fx.GraphModule) -> dict[fx.Node, int]:
    """Return the nodes that show memory which some operator of the graph writes to.

    Returns:
        The nodes in order, each with the identity of its memory. Empty for a functional graph.
    """
    if not any(writes(node.target) for node in gm.graph.nodes):
        return {}
    shown = _memory(gm)
    written = {
        shown[target]
        for node in gm.graph.nodes
        for name in writes(node.target)
        if (target := arguments(node)[name]) in shown
    }
    return {node: identity for node, identity in shown.items() if identity in written}


def _memory(gm: fx.GraphModule) -> dict[fx.Node, int]:
    """Return the identity of the memory under every tensor of the graph."""
    shown: dict[fx.Node, int] = {}
    same: dict[int, int] = {}
    for node in gm.graph.nodes:
        identity = storage(value(node))
        if identity is None or node.op == "output":
            continue
        if node.target is aten.dropout.default and _returns_input(node):
            same[identity] = shown.get(node.args[0], identity)
        shown[node] = same.get(identity, identity)
    return shown


def storage(found: Any) -> int | None:
    """Return the identity of a value's storage, or None when it has none."""
    if isinstance(found, (list, tuple)) and found:  # the pieces of one split share one storage
        found = found[0]
    while isinstance(found, torch.Tensor) and is_batchedtensor(found):  # inside of `torch.vmap`
        found = get_unwrapped(found)
    if not isinstance(found, torch.Tensor) or found.layout != torch.strided:
        return None
    return int(found.untyped_storage()._cdata)


def _returns_input(dropout: fx.Node) -> bool:
    bound = arguments(dropout)
    return not bound["train"] or bound["p"] == 0


def parents(shown: dict[fx.Node, int]) -> dict[fx.Node, fx.Node] | None:
    """Return for every view the node that it is a view of.

    Args:
        shown: Nodes in order with the identity of their memory.

    Returns:
        A tree per memory; None when a memory has two roots, so that who views whom is unknown.
    """
    result: dict[fx.Node, fx.Node] = {}
    roots: set[int] = set()
    for node, identity in shown.items():
        parent = next((p for p in node.all_input_nodes if shown.get(p) == identity), None)
        if parent is not None:
            result[node] = parent
        elif identity in roots:
            return None
        else:
            roots.add(identity)
    return result
