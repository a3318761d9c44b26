# SPDX-License-Identifier: Apache-2.0
"""Decides for every call of a lowered graph whether TensorRT takes it, and if not, why."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch import fx

from edge_trt.conversion.origin import module_of
from edge_trt.conversion.registry import CONVERTERS, Overload, support
from edge_trt.errors import OptionError
from edge_trt_runtime.names import did_you_mean


def refusals(
    graph: fx.Graph, fallback_ops: Sequence[str] = (), fallback_modules: Sequence[str] = ()
) -> dict[fx.Node, str]:
    """The calls that TensorRT does not get, each with its reason.

    Args:
        graph: a lowered graph.
        fallback_ops: operators kept out on request: `aten.gelu` or `aten.gelu.default`.
        fallback_modules: patterns of module paths kept out on request, with all below them.

    Raises:
        OptionError: `fallback_ops` names an operator that torch does not have.
    """
    for name in fallback_ops:
        _check_operator(name)
    result: dict[fx.Node, str] = {}
    for node in graph.nodes:
        if node.op in ("placeholder", "get_attr", "output"):
            continue
        reason = (
            _requested_op(node, fallback_ops)
            or _requested_module(node, fallback_modules)
            or support(node)
        )
        if reason:
            result[node] = reason
    return result


def _requested_op(node: fx.Node, names: Sequence[str]) -> str | None:
    target = str(node.target)
    if any(target == name or target.startswith(f"{name}.") for name in names):
        return f"{target} is kept out of TensorRT by fallback_ops"
    return None


def _requested_module(node: fx.Node, patterns: Sequence[str]) -> str | None:
    path = module_of(node)
    for pattern in patterns:
        if fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}.*"):
            return f"module {path} is kept out of TensorRT by fallback_modules ({pattern})"
    return None


def _check_operator(name: str) -> None:
    """Catches a misspelt operator, which would silently match nothing."""
    namespace, _, rest = name.partition(".")
    packet, _, overload = rest.partition(".")
    found: Overload = getattr(getattr(torch.ops, namespace), packet, None) if packet else None
    if found is None or (overload and not hasattr(found, overload)):
        known = {str(t) for t in CONVERTERS if isinstance(t, torch._ops.OpOverload)}
        known |= {t.rsplit(".", 1)[0] for t in known}
        raise OptionError(f"unknown operator {name!r}", hint=did_you_mean(name, sorted(known)))
