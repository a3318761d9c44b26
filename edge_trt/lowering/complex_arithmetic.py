# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on pairs of real numbers, term by term as PyTorch computes it on complex ones."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from edge_trt.lowering.complex_operands import Pairs, Rule
from edge_trt.lowering.complex_products import RULES as PRODUCTS
from edge_trt.lowering.edit import add_constant, arguments, aten, module_path

_ON_NUMBERS = {aten.mul.Tensor: operator.mul, aten.add.Tensor: operator.add}


def _apply(pairs: Pairs, node: fx.Node, target: Any, a: Any, b: Any) -> Any:
    """A commutative operator on nodes and numbers."""
    if not isinstance(a, fx.Node) and not isinstance(b, fx.Node):
        return _ON_NUMBERS[target](a, b)
    return pairs.call(node, target, *((a, b) if isinstance(a, fx.Node) else (b, a)))


def _negative(pairs: Pairs, node: fx.Node, a: Any) -> Any:
    return pairs.call(node, aten.neg.default, a) if isinstance(a, fx.Node) else -a


def _product(pairs: Pairs, node: fx.Node, left: Any, right: Any) -> fx.Node | None:
    """All four products, also with a part that is 0: infinity times 0 is not a number."""
    first, second = pairs.parts(left, node), pairs.parts(right, node)
    if first is None or second is None:
        return None

    def times(a: Any, b: Any) -> Any:
        return _apply(pairs, node, aten.mul.Tensor, a, b)

    (a, b), (c, d) = first, second
    subtrahend = times(b, d)
    if isinstance(subtrahend, fx.Node) and isinstance(minuend := times(a, c), fx.Node):
        real = pairs.call(node, aten.sub.Tensor, minuend, subtrahend)
    else:
        negative = _negative(pairs, node, subtrahend)
        real = _apply(pairs, node, aten.add.Tensor, times(a, c), negative)
    imaginary = _apply(pairs, node, aten.add.Tensor, times(a, d), times(b, c))
    return pairs.join(real, imaginary, node)


def _mul(pairs: Pairs, node: fx.Node) -> fx.Node | None:
    bound = arguments(node)
    return _product(pairs, node, bound["self"], bound["other"])


def _sum(target: Any, *, swapped: bool = False) -> Rule:
    def rule(pairs: Pairs, node: fx.Node) -> fx.Node | None:
        bound = arguments(node)
        if bound["alpha"] != 1:
            return None
        left = pairs.pair(bound["self"], node)
        right = pairs.pair(bound["other"], node)
        if left is None or right is None:
            return None
        return pairs.call(node, target, *((right, left) if swapped else (left, right)))

    return rule


def _neg(pairs: Pairs, node: fx.Node) -> fx.Node | None:
    pair = pairs.of.get(node.args[0])  # type: ignore[arg-type]
    return None if pair is None else pairs.call(node, aten.neg.default, pair)


def _conj(pairs: Pairs, node: fx.Node) -> fx.Node | None:
    pair = pairs.of.get(node.args[0])  # type: ignore[arg-type]
    if pair is None:
        return None
    name = f"{module_path(node)}.{node.name}.signs".lstrip(".")
    signs = add_constant(pairs.gm, node, torch.tensor([1.0, -1.0]), name)
    return pairs.call(node, aten.mul.Tensor, pair, signs)


def _part(index: int) -> Rule:
    def rule(pairs: Pairs, node: fx.Node) -> fx.Node | None:
        source: Any = node.args[0]
        return pairs.part(source, index, node) if source in pairs.of else None

    return rule


def _of_parts(target: Any, order: tuple[int, int]) -> Rule:
    def rule(pairs: Pairs, node: fx.Node) -> fx.Node | None:
        source: Any = node.args[0]
        if source not in pairs.of:
            return None
        return pairs.call(node, target, *(pairs.part(source, index, node) for index in order))

    return rule


def _complex(pairs: Pairs, node: fx.Node) -> fx.Node | None:
    bound = arguments(node)
    return pairs.join(bound["real"], bound["imag"], node)


def _polar(pairs: Pairs, node: fx.Node) -> fx.Node | None:
    bound = arguments(node)
    length, angle = bound["abs"], bound["angle"]
    parts = [
        pairs.call(node, aten.mul.Tensor, length, pairs.call(node, function, angle))
        for function in (aten.cos.default, aten.sin.default)
    ]
    return pairs.join(parts[0], parts[1], node)


RULES: dict[object, Rule] = {
    **PRODUCTS,
    aten.mul.Tensor: _mul,
    aten.mul.Scalar: _mul,
    aten.add.Tensor: _sum(aten.add.Tensor),
    aten.add.Scalar: _sum(aten.add.Tensor),
    aten.sub.Tensor: _sum(aten.sub.Tensor),
    aten.sub.Scalar: _sum(aten.sub.Tensor),
    aten.rsub.Tensor: _sum(aten.sub.Tensor, swapped=True),
    aten.rsub.Scalar: _sum(aten.sub.Tensor, swapped=True),
    aten.neg.default: _neg,
    aten._conj.default: _conj,
    aten.conj.default: _conj,
    aten._conj_physical.default: _conj,
    aten.conj_physical.default: _conj,
    aten.real.default: _part(0),
    aten.imag.default: _part(1),
    aten.abs.default: _of_parts(aten.hypot.default, (0, 1)),
    aten.angle.default: _of_parts(aten.atan2.default, (1, 0)),
    aten.complex.default: _complex,
    aten.polar.default: _polar,
}
