# SPDX-License-Identifier: Apache-2.0
"""Calls that nobody reads, and tensors that no call reads, are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_trt.lowering.edit import is_pure

if TYPE_CHECKING:
    from torch import fx


def remove_dead_code(gm: fx.GraphModule) -> bool:
    """Erase pure calls without readers, then attributes without nodes.

    ::

        before  a = exp(x); b = relu(x); return b
        after   b = relu(x); return b

    Placeholders stay (they are the signature), and so do writes, random operators and side effects.
    """
    changed = False
    for node in reversed(list(gm.graph.nodes)):
        if node.users or node.op in ("placeholder", "output"):
            continue
        if node.op == "get_attr" or (node.op == "call_function" and is_pure(node)):
            gm.graph.erase_node(node)
            changed = True
    used = {node.target for node in gm.graph.nodes if node.op == "get_attr"}
    for name in [*gm._buffers, *gm._parameters, *gm._modules]:
        if name not in used:
            delattr(gm, name)
    return changed
