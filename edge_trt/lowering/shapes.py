# SPDX-License-Identifier: Apache-2.0
"""Questions about sizes that never add a guard, and size arguments for operators.

A size is an ``int`` or a ``torch.SymInt``. Every question here answers False when the answer
depends on the run-time value of a symbol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import statically_known_true

from edge_trt.lowering.edit import aten, insert, tensor, value

if TYPE_CHECKING:
    from collections.abc import Sequence


def is_static(size: Any) -> bool:
    """Whether a size is a plain number."""
    return isinstance(size, int)


def same_size(left: Any, right: Any) -> bool:
    """Whether two sizes are equal for every value of their symbols."""
    if isinstance(left, int) and isinstance(right, int):
        return left == right
    if isinstance(left, torch.SymInt) and isinstance(right, torch.SymInt):
        if left.node.expr == right.node.expr:
            return True
    elif isinstance(left, torch.SymInt) != isinstance(right, torch.SymInt):
        symbolic = left if isinstance(left, torch.SymInt) else right
        if (
            symbolic.node.expr.is_Symbol
        ):  # a free symbol is no one number; a specialised one is an int
            return False
    return statically_known_true(left == right)


def same_shape(left: Sequence[Any], right: Sequence[Any]) -> bool:
    """Whether two shapes have equal rank and equal sizes."""
    return len(left) == len(right) and all(map(same_size, left, right))


def same_type(left: Any, right: Any) -> bool:
    """Whether two nodes yield tensors of equal shape and data type."""
    a, b = tensor(left), tensor(right)
    if a is None or b is None:
        return False
    return a.dtype == b.dtype and same_shape(a.shape, b.shape)


def static_shape(node: Any) -> tuple[int, ...] | None:
    """Return the shape of a tensor node when all of it is known."""
    found = tensor(node)
    if found is None or not all(map(is_static, found.shape)):
        return None
    return tuple(found.shape)


def size_of(gm: fx.GraphModule, node: fx.Node, dim: int, before: fx.Node) -> int | fx.Node:
    """Return one size of a tensor: a number, or a node that yields it, an existing one if any."""
    found = tensor(node)
    assert found is not None
    size = found.shape[dim]
    if isinstance(size, int):
        return size
    for user in node.users:
        if user.target == aten.sym_size.int and user.args[1] == dim and user < before:
            return user
    return insert(gm, before, aten.sym_size.int, (node, dim), val=size)


def size_arguments(
    gm: fx.GraphModule,
    shape: Sequence[Any],
    sources: Sequence[Any],
    before: fx.Node,
) -> list[Any] | None:
    """Write a shape as operator arguments: numbers, and nodes for symbolic sizes.

    Args:
        gm: Module that owns the graph.
        shape: Sizes wanted.
        sources: Where symbolic sizes may be had: nodes that yield a number, or tensors.
        before: New ``sym_size`` nodes come before this one.

    Returns:
        One argument per size, -1 for a single one that no source yields; None when there are
        several.
    """
    result = [s if isinstance(s, int) else _find(gm, s, sources, before) for s in shape]
    if result.count(None) > 1:
        return None
    return [-1 if size is None else size for size in result]


def _find(gm: fx.GraphModule, size: Any, sources: Sequence[Any], before: fx.Node) -> Any:
    for source in sources:
        found = value(source)
        if isinstance(found, torch.Tensor):
            for dim, candidate in enumerate(found.shape):
                if not isinstance(candidate, int) and same_size(candidate, size):
                    return size_of(gm, source, dim, before)
        elif isinstance(found, torch.SymInt) and same_size(found, size):
            return source
    return None


def reshape_arguments(
    gm: fx.GraphModule, node: fx.Node, source: fx.Node, given: Sequence[Any] = ()
) -> list[Any] | None:
    """Return the shortest shape argument that reshapes ``source`` into what ``node`` yields.

    A single symbolic size becomes -1, so that no size has to be computed at run time.
    """
    result = tensor(node)
    assert result is not None
    symbolic = [dim for dim, size in enumerate(result.shape) if not isinstance(size, int)]
    if len(symbolic) == 1 and 0 not in [size for size in result.shape if isinstance(size, int)]:
        return [size if isinstance(size, int) else -1 for size in result.shape]
    return size_arguments(gm, result.shape, [*given, source], node)
