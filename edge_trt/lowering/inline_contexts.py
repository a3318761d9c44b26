# SPDX-License-Identifier: Apache-2.0
"""Regions under ``torch.no_grad()`` or a disabled autocast are ordinary code when compiled."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from edge_trt.lowering.edit import calls, replace, tensor


def inline_contexts(gm: fx.GraphModule) -> bool:
    """Inline the body of gradient and autocast contexts that change no value.

    ::

        before  wrap_with_set_grad_enabled(False, body, x) ; getitem(.., 0)   # body: mul(x, 2)
        after   mul(x, 2)

    An autocast region that is enabled for the program's own device is left alone: its casts are not
    in the graph.
    """
    changed = False
    found = True
    while found:  # a body may hold a context of its own
        found = False
        for node in calls(gm):
            region = _region(gm, node)
            if region is not None and _inline(gm, node, *region):
                found = changed = True
    return changed


def _region(gm: fx.GraphModule, node: fx.Node) -> tuple[fx.GraphModule, tuple[Any, ...]] | None:
    """Return the body and its operands, or None for anything that must stay."""
    higher = torch.ops.higher_order
    if node.target is higher.wrap_with_set_grad_enabled:
        body, *operands = node.args[1:]
    elif node.target is higher.wrap_with_autocast:
        device, _dtype, enabled, _cache, body, *operands = node.args
        devices = {t.device.type for t in map(tensor, operands) if t is not None}
        if enabled and device in devices:
            return None
    else:
        return None
    return getattr(gm, str(body.target)), tuple(operands)  # type: ignore[union-attr]


def _inline(
    gm: fx.GraphModule, node: fx.Node, body: fx.GraphModule, operands: tuple[Any, ...]
) -> bool:
    if any(user.target is not operator.getitem for user in node.users):
        return False
    copies: dict[fx.Node, Any] = {}
    rest = iter(operands)
    results: Any = ()
    with gm.graph.inserting_before(node):
        for inner in body.graph.nodes:
            if inner.op == "placeholder":
                copies[inner] = next(rest)
            elif inner.op == "output":
                results = inner.args[0]
            else:
                copies[inner] = gm.graph.node_copy(inner, copies.__getitem__)
                if inner.op == "get_attr":
                    copies[inner].target = _adopt(gm, body, inner.target)
    for user in list(node.users):
        result = results[user.args[1]]
        replace(user, copies[result] if isinstance(result, fx.Node) else result)
    gm.graph.erase_node(node)
    return True


def _adopt(gm: fx.GraphModule, body: fx.GraphModule, name: str) -> str:
    """Give the module an attribute of a body; names of bodies repeat from one level to the next."""
    fresh, count = name, 0
    while hasattr(gm, fresh):
        count += 1
        fresh = f"{name}_{count}"
    setattr(gm, fresh, getattr(body, name))
    return fresh
