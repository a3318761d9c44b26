# SPDX-License-Identifier: Apache-2.0
"""Equal calls are made once (common subexpression elimination)."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from edge_trt.lowering.edit import constant, is_pure, replace, value

_SMALL = 64 << 10
"""Bytes up to which constants are compared by content; above, by identity of their memory."""


def merge_duplicates(gm: fx.GraphModule) -> bool:
    """Let readers of a call that repeats an earlier one read the earlier one.

    ::

        before  a = reshape(x, [2, 8]); b = reshape(x, [2, 8]); add(a, b)
        after   a = reshape(x, [2, 8]); add(a, a)

    Symbolic sizes are equal when their expressions are, however they were computed. Constants are
    equal when they share memory, or are small and have the same content. Random operators and
    writes are never merged.
    """
    seen: dict[Any, fx.Node] = {}
    changed = False
    for node in list(gm.graph.nodes):
        key = _key(gm, node)
        if key is None:
            continue
        first = seen.setdefault(key, node)
        if first is not node:
            replace(node, first)
            changed = True
    return changed


def _key(gm: fx.GraphModule, node: fx.Node) -> Any:
    """Return what identifies the value of a node, or None when it may not be merged."""
    if node.op == "get_attr":
        return _constant_key(constant(gm, node))
    if node.op != "call_function" or not is_pure(node):
        return None
    found = value(node)
    if isinstance(found, torch.SymInt):
        return ("size", found.node.expr)
    try:
        key = (node.target, _freeze(node.args), _freeze(node.kwargs))
        hash(key)
    except TypeError:
        return None
    return key


def _constant_key(data: torch.Tensor | None) -> Any:
    if data is None or data.layout != torch.strided:
        return None
    kind = (data.dtype, tuple(data.shape))
    if data.device.type == "cpu" and 0 < data.numel() * data.element_size() <= _SMALL:
        # A copy, since "contiguous" leaves a single element its stride of 0.
        plain = data.detach().reshape(-1).clone(memory_format=torch.contiguous_format)
        return ("content", *kind, plain.view(torch.uint8).numpy().tobytes())
    return ("memory", *kind, data.data_ptr(), data.stride(), data.numel() or id(data))


def _freeze(arg: Any) -> Any:
    """Make an argument hashable; ``1``, ``1.0`` and ``True`` stay different."""
    if isinstance(arg, (list, tuple)):
        return tuple(map(_freeze, arg))
    if isinstance(arg, dict):
        return tuple(sorted((key, _freeze(item)) for key, item in arg.items()))
    if isinstance(arg, (int, float, complex)):
        return (type(arg), repr(arg))
    return arg
