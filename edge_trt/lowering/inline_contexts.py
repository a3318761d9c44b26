# SPDX-License-Identifier: Apache-2.0
"""Regions under ``torch.no_grad()`` or ``torch.autocast`` are ordinary code when compiled."""

from __future__ import annotations

import operator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import fx
from torch._ops import HigherOrderOperator
from torch.amp.autocast_mode import _enter_autocast, _exit_autocast

from edge_trt.lowering.autocast import Autocast, cast_operands, repropagate
from edge_trt.lowering.decompose_unsupported import expand
from edge_trt.lowering.edit import calls, replace, tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

_HIGHER = torch.ops.higher_order


def inline_contexts(gm: fx.GraphModule) -> bool:
    """Inline the bodies of gradient and autocast contexts, with the casts that autocast makes.

    ::

        before  wrap_with_set_grad_enabled(False, body, x) ; getitem(.., 0)   # body: mul(x, 2)
        after   mul(x, 2)

    An autocast region for another device than the program's casts nothing.
    """
    return _settle(gm, list(calls(gm)), None)


@dataclass(frozen=True)
class _Region:
    body: fx.GraphModule
    operands: tuple[Any, ...]
    autocast: Autocast | None


def _region(gm: fx.GraphModule, node: fx.Node, outer: Autocast | None) -> _Region | None:
    """Return what a call runs inline, or None for any other call."""
    if any(user.target is not operator.getitem for user in node.users):
        return None
    if node.target is _HIGHER.wrap_with_set_grad_enabled:
        body, *operands = node.args[1:]
        autocast = outer
    elif node.target is _HIGHER.wrap_with_autocast:
        *given, body = node.args[:5]
        operands = node.args[5:]
        autocast = _entered(gm, given, outer)
    else:
        return None
    return _Region(getattr(gm, str(body.target)), tuple(operands), autocast)  # type: ignore[union-attr]


def _entered(gm: fx.GraphModule, given: Sequence[Any], outer: Autocast | None) -> Autocast | None:
    """Return what is cast in a region of (device, type, enabled, cache) inside of another one."""
    device, dtype, enabled, _cache = given
    if device not in {t.device.type for t in map(tensor, gm.graph.nodes) if t is not None}:
        return outer
    return Autocast(device, dtype) if enabled else None


def _settle(gm: fx.GraphModule, nodes: Sequence[fx.Node], outer: Autocast | None) -> bool:
    """Inline or cast some calls, in order; torch.export leaves some regions as their two ends."""
    changed = False
    stack, ends = [outer], list[fx.Node]()
    for node in nodes:
        if node.target is _enter_autocast:
            stack.append(_entered(gm, node.args, stack[-1]))
            ends.append(node)
        elif node.target is _exit_autocast:
            stack.pop()
            ends.append(node)
        elif (region := _region(gm, node, stack[-1])) is not None:
            changed = True
            _settle(gm, _copied(gm, node, region), region.autocast)
        elif stack[-1] is not None:
            changed |= _cast(gm, node, stack[-1])
    for end in reversed(ends):
        gm.graph.erase_node(end)
    return changed or bool(ends)


def _cast(gm: fx.GraphModule, node: fx.Node, autocast: Autocast) -> bool:
    """Write out the casts of a call, and of all in the bodies of a conditional or loop."""
    target: Any = node.target
    if not isinstance(target, HigherOrderOperator):
        casts_inside = not cast_operands(gm, node, autocast)
        return casts_inside and expand(gm, node, partial(autocast.run, target))
    for source in node.all_input_nodes:
        body = getattr(gm, str(source.target), None) if source.op == "get_attr" else None
        if isinstance(body, fx.GraphModule):
            own = deepcopy(body)  # the program keeps its own
            _settle(own, list(calls(own)), autocast)
            own.recompile()
            with gm.graph.inserting_before(node):
                copied = gm.graph.get_attr(_added(gm, str(source.target), own))
            copied.meta = dict(source.meta)
            node.replace_input_with(source, copied)
    return True


def _copied(gm: fx.GraphModule, node: fx.Node, region: _Region) -> list[fx.Node]:
    """Put the body in the place of the call; return the calls that it consists of."""
    copies: dict[fx.Node, Any] = {}
    rest = iter(region.operands)
    results: Any = ()
    retyped = False
    with gm.graph.inserting_before(node):
        for inner in region.body.graph.nodes:
            if inner.op == "placeholder":
                copies[inner] = next(rest)
                retyped |= _type(copies[inner]) != _type(inner)
            elif inner.op == "output":
                results = inner.args[0]
            else:
                copies[inner] = gm.graph.node_copy(inner, copies.__getitem__)
                if inner.op == "get_attr":
                    found = getattr(region.body, inner.target)
                    copies[inner].target = _added(gm, inner.target, found)
                elif retyped:
                    repropagate(gm, copies[inner])
    for user in list(node.users):
        result = results[user.args[1]]
        replace(user, copies[result] if isinstance(result, fx.Node) else result)
    gm.graph.erase_node(node)
    return [copy for inner, copy in copies.items() if inner.op == "call_function"]


def _type(operand: Any) -> torch.dtype | None:
    found = tensor(operand)
    return None if found is None else found.dtype


def _added(gm: fx.GraphModule, name: str, value: Any) -> str:
    """Give the module an attribute; names of bodies repeat from one level to the next."""
    fresh, count = name, 0
    while hasattr(gm, fresh):
        count += 1
        fresh = f"{name}_{count}"
    setattr(gm, fresh, value)
    return fresh
