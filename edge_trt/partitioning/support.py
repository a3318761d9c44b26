# SPDX-License-Identifier: Apache-2.0
"""Decides for every call of a lowered graph whether TensorRT takes it, and if not, why."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

from edge_trt.capture.operators import find_operators
from edge_trt.conversion.origin import module_of, operator_of
from edge_trt.conversion.registry import support
from edge_trt.errors import OptionError
from edge_trt.warning import warn
from edge_trt_runtime.names import close_matches, did_you_mean


def refusals(
    graph: fx.Graph, fallback_ops: Sequence[str] = (), fallback_modules: Sequence[str] = ()
) -> dict[fx.Node, str]:
    """The calls that TensorRT does not get, each with its reason.

    Args:
        graph: a lowered graph.
        fallback_ops: operators kept out on request: `aten.gelu`, `gelu` or `aten.gelu.default`. One
            that the graph does not have is warned about.
        fallback_modules: patterns of module paths kept out on request, with all below them.

    Raises:
        OptionError: `fallback_ops` names an operator that torch does not have, or a pattern of
            `fallback_modules` matches nothing.
    """
    calls = [n for n in graph.nodes if n.op == "call_function"]
    operators = _requested_operators(calls, fallback_ops)
    modules = _requested_modules(calls, fallback_modules)
    result: dict[fx.Node, str] = {}
    for node in calls:
        if node.target is operator.getitem:  # goes where the call goes whose result it takes
            continue
        reason = support(node) or _values_reason(node, result)
        if computes(node):  # a request speaks of tensors: sizes go where they are needed
            reason = operators.get(node.target) or modules.get(module_of(node)) or reason
        if reason:
            result[node] = reason
    return result


def computes(node: fx.Node) -> bool:
    """Whether a node is a call that computes tensors: no size, and no choice of a result."""
    if node.op != "call_function" or node.target is operator.getitem:
        return False
    value = node.meta.get("val")
    return not isinstance(value, (int, float, bool, torch.SymInt, torch.SymFloat, torch.SymBool))


def _values_reason(node: fx.Node, refused: Mapping[fx.Node, str]) -> str | None:
    """What is wrong with the values that a call gets, whatever the call."""
    for source in node.all_input_nodes:
        value: Any = source.meta["val"]
        if source in refused and isinstance(value, (torch.SymFloat, torch.SymBool)):
            return (
                f"{operator_of(node)} takes a number computed from sizes that is no whole number, "
                "and TensorRT can't get it from a fallback"
            )
        producer = source.args[0] if source.target is operator.getitem else source
        if producer in refused and free_unbacked_symbols(value):
            return (
                f"{operator_of(node)} takes sizes that depend on values, and TensorRT can't get "
                "these from a fallback"
            )
    return None


def _requested_operators(calls: Sequence[fx.Node], names: Sequence[str]) -> dict[Any, str]:
    """Reason by operator."""
    present = {n.target for n in calls}
    reasons: dict[Any, str] = {}
    for name in names:
        overloads = find_operators(name)
        reasons |= {o: f"{o} is kept out of TensorRT by fallback_ops" for o in overloads}
        if present.isdisjoint(overloads):
            there = sorted({str(t).rpartition(".")[0] for t in present if not _is_python(t)})
            warn(
                f"fallback_ops has {name!r}, and the lowered model has no such operator "
                f"(it has {', '.join(there) or 'none'})"
            )
    return reasons


def _is_python(target: object) -> bool:
    return not isinstance(target, torch._ops.OpOverload)


def _requested_modules(calls: Sequence[fx.Node], patterns: Sequence[str]) -> dict[str, str]:
    """Reason by module path."""
    paths = sorted({module_of(n) for n in calls if computes(n)})
    reasons: dict[str, str] = {}
    for pattern in patterns:
        within = pattern.removesuffix(".*")
        matches = [p for p in paths if fnmatchcase(p, within) or fnmatchcase(p, f"{within}.*")]
        if not matches:
            raise OptionError(
                f"fallback_modules has {pattern!r}, and no operator of the lowered model is in such"
                " a module",
                option="fallback_modules",
                matches=close_matches(pattern, _with_parents(paths)),
                hint=did_you_mean(pattern, _with_parents(paths)),
            )
        for path in matches:
            where = f"module {path}" if path else "the model itself"
            reasons[path] = f"{where} is kept out of TensorRT by fallback_modules ({pattern})"
    return reasons


def _with_parents(paths: Sequence[str]) -> list[str]:
    """`a.b.c` is also in `a.b` and in `a`."""
    every = {".".join(p.split(".")[: i + 1]) for p in paths for i in range(p.count(".") + 1)}
    return sorted(every - {""})
