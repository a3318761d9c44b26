# SPDX-License-Identifier: Apache-2.0
"""Operators on the shape of a complex tensor, on the axes before that of its pairs."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from edge_trt.lowering.complex_operands import Pairs, Rule
from edge_trt.lowering.edit import arguments, aten, tensor


def _same(pairs: Pairs, node: fx.Node) -> fx.Node | None:
    return pairs.of.get(node.args[0])  # type: ignore[arg-type]


def _as_complex(pairs: Pairs, node: fx.Node) -> fx.Node | None:
    source = node.args[0]
    return source if isinstance(source, fx.Node) else None


def _to_copy(pairs: Pairs, node: fx.Node) -> fx.Node | None:
    found = tensor(node)
    assert found is not None
    return pairs.pair(node.args[0], node) if found.dtype is torch.complex64 else None


def _rewritten(pairs: Pairs, node: fx.Node, **changed: Any) -> fx.Node | None:
    """The same call on pairs, with other arguments beside."""
    bound = arguments(node)
    name = "self" if "self" in bound else "tensors"
    source = bound[name]
    if isinstance(source, (list, tuple)):
        operands: Any = [pairs.pair(operand, node) for operand in source]
        if None in operands:
            return None
    else:
        operands = pairs.of.get(source)
    if operands is None:
        return None
    given = {**bound, **changed, name: operands}
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    positional = [given[argument.name] for argument in schema if not argument.kwarg_only]
    return pairs.call(node, node.target, *positional)


def _longer(name: str, last: Any = 2) -> Rule:
    """The list that an operator takes goes on with what becomes of the pairs."""

    def rule(pairs: Pairs, node: fx.Node) -> fx.Node | None:
        return _rewritten(pairs, node, **{name: [*arguments(node)[name], last]})

    return rule


def _permute(pairs: Pairs, node: fx.Node) -> fx.Node | None:
    rank = _rank(node)
    dims = [dim % rank for dim in arguments(node)["dims"]]
    return _rewritten(pairs, node, dims=[*dims, rank])


def _along(name: str = "dim", *, of_result: bool = False) -> Rule:
    """Axes are counted from the front."""

    def rule(pairs: Pairs, node: fx.Node) -> fx.Node | None:
        bound = arguments(node)
        source = bound["self"] if "self" in bound else bound["tensors"][0]
        rank = _rank(node if of_result else source)
        dims = bound[name]
        if rank == 0 or (not dims and dims != 0):
            return None
        if isinstance(dims, int):
            return _rewritten(pairs, node, **{name: dims % rank})
        return _rewritten(pairs, node, **{name: [dim % rank for dim in dims]})

    return rule


def _index(pairs: Pairs, node: fx.Node) -> fx.Node | None:
    return _rewritten(pairs, node)


def _where(pairs: Pairs, node: fx.Node) -> fx.Node | None:
    bound = arguments(node)
    condition = bound["condition"]
    left, right = (pairs.pair(bound[name], node) for name in ("self", "other"))
    if left is None or right is None:
        return None
    column = pairs.call(node, aten.unsqueeze.default, condition, _rank(condition))
    return pairs.call(node, aten.where.self, column, left, right)


def _rank(node: Any) -> int:
    found = tensor(node)
    assert found is not None
    return found.dim()


RULES: dict[object, Rule] = {
    aten.view_as_complex.default: _as_complex,
    aten.view_as_real.default: _same,
    aten.clone.default: _same,
    aten.contiguous.default: _same,
    aten.detach.default: _same,
    aten.alias.default: _same,
    aten.lift_fresh_copy.default: _same,
    aten.resolve_conj.default: _same,
    aten.resolve_neg.default: _same,
    aten._to_copy.default: _to_copy,
    aten.reshape.default: _longer("shape"),
    aten.expand.default: _longer("size"),
    aten.repeat.default: _longer("repeats", 1),
    aten.permute.default: _permute,
    aten.slice.Tensor: _along(),
    aten.select.int: _along(),
    aten.squeeze.dim: _along(),
    aten.squeeze.dims: _along(),
    aten.unsqueeze.default: _along(of_result=True),
    aten.flip.default: _along("dims"),
    aten.cat.default: _along(),
    aten.stack.default: _along(of_result=True),
    aten.index_select.default: _along(),
    aten.sum.dim_IntList: _along(),
    aten.index.Tensor: _index,
    aten.where.self: _where,
}
