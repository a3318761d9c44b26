# SPDX-License-Identifier: Apache-2.0
"""Branches of `torch.cond` become graphs of their own, weights and all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from edge_trt.lowering.edit import aten, constant, insert, tensor, value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COND = torch.ops.higher_order.cond


def lower_bodies(gm: fx.GraphModule, lower_body: Callable[[fx.GraphModule], None]) -> bool:
    """Move the weights that only branches read into them, and lower each.

    ::

        before  cond(p, true_graph, false_graph, (x, w))     # true_graph(x, w): linear(x, w)
        after   cond(p, cond_true, cond_false, (x,))         # cond_true(x): linear(x, self.w)

    Args:
        gm: Module to edit; its branches are replaced by copies.
        lower_body: Lowers a branch in place.
    """
    calls = gm.graph.find_nodes(op="call_function", target=COND)
    for call in calls:
        condition, *branches, operands = call.args
        constants = [constant(gm, operand) for operand in operands]
        bodies = [_body(gm, call, branch, constants) for branch in branches]
        for body in bodies:
            _lower(getattr(gm, str(body.target)), lower_body)
        _locate(call, getattr(gm, str(bodies[0].target)))
        varying = [o for o, data in zip(operands, constants, strict=True) if data is None]
        call.args = (condition, *bodies, tuple(varying))
    return bool(calls)


def _locate(call: fx.Node, body: fx.GraphModule) -> None:
    """Say where the call is by what its branch calls: torch leaves it a line of generated code."""
    inside = (node.meta.get("stack_trace") for node in body.graph.nodes)
    trace = next(filter(None, inside), None)
    if trace is not None:
        call.meta["stack_trace"] = trace


def _lower(body: fx.GraphModule, lower_body: Callable[[fx.GraphModule], None]) -> None:
    """Lower a branch; its results keep their strides, which torch wants alike in both branches."""
    before = [value(result) for result in body.graph.output_node().args[0]]  # type: ignore[union-attr]
    lower_body(body)
    output = body.graph.output_node()
    results: Any = output.args[0]
    kept = [
        result
        if tensor(result) is None or value(result).stride() == was.stride()
        else insert(body, output, aten.clone.default, (result,), val=was, like=result)
        for result, was in zip(results, before, strict=True)
    ]
    output.args = (tuple(kept),)
    body.recompile()


def _body(
    gm: fx.GraphModule, call: fx.Node, branch: fx.Node, constants: Sequence[torch.Tensor | None]
) -> fx.Node:
    """Return the attribute that is a copy of a branch with these of its inputs as weights."""
    original: fx.GraphModule = getattr(gm, str(branch.target))
    word = "true" if branch is call.args[1] else "false"
    name = f"{call.name}_{word}"
    gm.add_module(name, _with_weights(original, call.args[3], constants))  # type: ignore[arg-type]
    with gm.graph.inserting_before(call):
        attribute = gm.graph.create_node("get_attr", name, name=name)
    attribute.meta = {**branch.meta, "val": None}
    return attribute


def _with_weights(
    branch: fx.GraphModule, operands: Sequence[fx.Node], constants: Sequence[torch.Tensor | None]
) -> fx.GraphModule:
    attributes: dict[str, Any] = {}
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    given = iter(zip(operands, constants, strict=True))
    for node in branch.graph.nodes:
        operand, data = next(given) if node.op == "placeholder" else (node, None)
        if data is not None:
            name = _unused(f"weight_{operand.target}", attributes)
            attributes[name] = data
            copies[node] = graph.create_node("get_attr", name, name=name)
            copies[node].meta = {**operand.meta}
            continue
        if node.op == "get_attr":
            attributes[str(node.target)] = getattr(branch, str(node.target))
        copies[node] = graph.node_copy(node, copies.__getitem__)
    return fx.GraphModule(attributes, graph, class_name="Branch")


def _unused(name: str, taken: dict[str, Any]) -> str:
    name = re.sub(r"\W", "_", name)
    return name if name not in taken else _unused(f"{name}_", taken)
