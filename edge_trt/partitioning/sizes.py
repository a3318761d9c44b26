# SPDX-License-Identifier: Apache-2.0
"""Computes the sizes that a block reads from the shapes of the tensors that it reads."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.fx.proxy import GraphAppendingTracer, Proxy
from torch.utils._sympy.interp import sympy_interp
from torch.utils._sympy.reference import PythonReferenceAnalysis

from edge_trt.conversion.registry import support

aten = torch.ops.aten


def _call(function: Callable[..., Any], x: Proxy) -> Proxy:
    return x.tracer.create_proxy("call_function", function, (x,), {})


_CALLS: dict[str, Callable[..., Any]] = {
    "truediv": operator.truediv,
    "int_truediv": operator.truediv,
    "pow": operator.pow,
    "pow_by_natural": operator.pow,
    "floor_to_int": lambda x, dtype: _call(math.floor, x),
    "ceil_to_int": lambda x, dtype: _call(math.ceil, x),
    "trunc_to_int": lambda x, dtype: _call(math.trunc, x),
    "round_to_int": lambda x, dtype: _call(round, x),
    "to_dtype": lambda x, dtype: _call(torch.sym_float, x),
}
"""Calls of Python's functions, where torch's analysis has sympy's."""
_Calls: Any = type(
    "_Calls", (PythonReferenceAnalysis,), {name: staticmethod(f) for name, f in _CALLS.items()}
)


def compute_inside(graph: fx.Graph) -> None:
    """Takes away the placeholders that are sizes, as far as shapes of the others determine them.

    A number that passes from block to block is more than a detour: TensorRT wants a range of its
    values, and torch.export does not see that it belongs to a shape::

        before  placeholders x: f32[s0, 8], n: 8*s0 ; reshape(x, [n])
        after   placeholder x ; sym_size(x, 0) * 8 ; reshape(x, [that])
    """
    placeholders = graph.find_nodes(op="placeholder")
    first = _first_call(graph)
    for placeholder in placeholders:  # the fuser puts them next to their first user
        first.prepend(placeholder)
    known = _known_sizes(placeholders)
    for placeholder in placeholders:
        if isinstance(placeholder.meta["val"], (torch.SymInt, torch.SymFloat, torch.SymBool)):
            _replace(graph, placeholder, known)


def _first_call(graph: fx.Graph) -> fx.Node:
    return next(n for n in graph.nodes if n.op not in ("placeholder", "get_attr"))


def _known_sizes(placeholders: list[fx.Node]) -> dict[object, tuple[fx.Node, int]]:
    """Where to find an expression: a tensor and an axis."""
    known: dict[object, tuple[fx.Node, int]] = {}
    for node in placeholders:
        value = node.meta["val"]
        for axis, size in enumerate(value.shape if isinstance(value, torch.Tensor) else ()):
            if isinstance(size, torch.SymInt):
                known.setdefault(size.node.expr, (node, axis))
    return known


def _replace(
    graph: fx.Graph, placeholder: fx.Node, known: dict[object, tuple[fx.Node, int]]
) -> None:
    expression = placeholder.meta["val"].node.expr
    leaves = {expression} if expression in known else expression.free_symbols
    if not leaves <= known.keys():
        return
    before = set(graph.nodes)
    tracer = GraphAppendingTracer(graph)
    with graph.inserting_before(_first_call(graph)):
        proxies = {
            leaf: Proxy(graph.call_function(aten.sym_size.int, known[leaf]), tracer)
            for leaf in sorted(leaves, key=str)
        }
        if expression in proxies:
            result = proxies[expression]
        else:
            result = sympy_interp(_Calls, proxies, expression)
    added = [n for n in graph.nodes if n not in before]
    for node in added:
        node.meta = {**placeholder.meta, "val": _value(node)}
    if all(support(node) is None for node in added):
        placeholder.replace_all_uses_with(result.node)
        graph.erase_node(placeholder)
        return
    for node in reversed(added):
        graph.erase_node(node)


def _value(node: fx.Node) -> object:
    """The symbolic result of a call on sizes."""
    target = node.target
    assert callable(target)
    return target(*fx.map_arg(node.args, lambda n: n.meta["val"]))
