# SPDX-License-Identifier: Apache-2.0
"""Quotients, exponentials and matrix products on pairs of real numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx

from edge_trt.lowering.complex_operands import Pairs, Rule
from edge_trt.lowering.edit import arguments, aten, tensor


def _quotient(pairs: Pairs, node: fx.Node, left: Any, right: Any) -> fx.Node | None:
    """Divided by the larger part of the divisor first, so that its square can't overflow."""
    first, second = _parts(pairs, left, node), _parts(pairs, right, node)
    if first is None or second is None:
        return None

    def call(target: Any, *args: fx.Node) -> fx.Node:
        return pairs.call(node, target, *args)

    (a, b), (c, d) = first, second
    scale = call(aten.maximum.default, *(call(aten.abs.default, part) for part in (c, d)))
    c, d = (call(aten.div.Tensor, part, scale) for part in (c, d))
    squares = [call(aten.mul.Tensor, part, part) for part in (c, d)]
    length = call(aten.mul.Tensor, call(aten.add.Tensor, *squares), scale)
    ac, bd, bc, ad = (call(aten.mul.Tensor, *p) for p in ((a, c), (b, d), (b, c), (a, d)))
    real, imaginary = call(aten.add.Tensor, ac, bd), call(aten.sub.Tensor, bc, ad)
    return pairs.join(
        call(aten.div.Tensor, real, length), call(aten.div.Tensor, imaginary, length), node
    )


def _parts(pairs: Pairs, operand: Any, node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """Both parts as nodes, also of numbers and real tensors."""
    pair = pairs.pair(operand, node)
    found = tensor(pair)
    if pair is None or found is None:
        return None
    real, imaginary = (
        pairs.call(node, aten.select.int, pair, found.dim() - 1, index) for index in (0, 1)
    )
    return real, imaginary


def _div(pairs: Pairs, node: fx.Node) -> fx.Node | None:
    bound = arguments(node)
    return _quotient(pairs, node, bound["self"], bound["other"])


def _reciprocal(pairs: Pairs, node: fx.Node) -> fx.Node | None:
    return _quotient(pairs, node, 1.0, node.args[0])


def _exp(pairs: Pairs, node: fx.Node) -> fx.Node | None:
    """e^(a + bi) = e^a (cos b + i sin b)."""
    parts = _parts(pairs, node.args[0], node)
    if parts is None:
        return None
    length = pairs.call(node, aten.exp.default, parts[0])
    real, imaginary = (
        pairs.call(node, aten.mul.Tensor, length, pairs.call(node, function, parts[1]))
        for function in (aten.cos.default, aten.sin.default)
    )
    return pairs.join(real, imaginary, node)


def _bilinear(target: Any, operands: Callable[[fx.Node], Any], *, listed: bool = False) -> Rule:
    """A function that is linear in each of two operands, from four products of their parts."""

    def rule(pairs: Pairs, node: fx.Node) -> fx.Node | None:
        factors = operands(node)
        if len(factors) != 2:
            return None
        first, second = (_parts(pairs, factor, node) for factor in factors)
        if first is None or second is None:
            return None

        def product(left: fx.Node, right: fx.Node) -> fx.Node:
            args = (node.args[0], [left, right]) if listed else (left, right)
            return pairs.call(node, target, *args)

        (a, b), (c, d) = first, second
        real = pairs.call(node, aten.sub.Tensor, product(a, c), product(b, d))
        imaginary = pairs.call(node, aten.add.Tensor, product(a, d), product(b, c))
        return pairs.join(real, imaginary, node)

    return rule


RULES: dict[object, Rule] = {
    aten.div.Tensor: _div,
    aten.div.Scalar: _div,
    aten.reciprocal.default: _reciprocal,
    aten.exp.default: _exp,
    aten.einsum.default: _bilinear(aten.einsum.default, lambda node: node.args[1], listed=True),
    **{
        target: _bilinear(target, lambda node: node.args)
        for target in (aten.matmul.default, aten.mm.default, aten.bmm.default, aten.mv.default)
    },
}
