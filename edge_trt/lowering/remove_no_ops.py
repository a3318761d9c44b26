# SPDX-License-Identifier: Apache-2.0
"""Operators that yield their input are removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx

from edge_trt.lowering.edit import arguments, aten, calls, replace, tensor
from edge_trt.lowering.shapes import same_size, same_type

_ASSERTIONS = {
    aten._assert_async.default,
    aten._assert_async.msg,
    aten._assert_scalar.default,
    aten._assert_tensor_metadata.default,
    aten.sym_constrain_range.default,
    aten.sym_constrain_range_for_size.default,
}
_NEEDS_LAYOUT = {aten.as_strided.default, aten.view_as_complex.default, aten.view.dtype}
"""Operators whose meaning depends on the strides of their input: a copy before them stays."""


def remove_no_ops(gm: fx.GraphModule) -> bool:
    """Let readers of an operator that changes nothing read its input; drop assertions.

    ::

        before  c = contiguous(dropout(x, 0.1, False)); _assert_async(ok); relu(pad(c, [0, 0]))
        after   relu(x)

    Runs on a functional graph, where a copy and its original can't be told apart. Sizes are
    compared without guards: an operator that is an identity for some values of a symbol only stays.
    """
    changed = False
    for node in calls(gm):
        if node.target in _ASSERTIONS:
            gm.graph.erase_node(node)
            changed = True
            continue
        rule = _RULES.get(node.target)
        source = node.args[0] if node.args else None
        if isinstance(source, (list, tuple)) and len(source) == 1:
            source = source[0]  # cat([x])
        if rule is not None and isinstance(source, fx.Node) and rule(node):
            replace(node, source)
            changed = True
    return changed


def _always(node: fx.Node) -> bool:
    return True


def _copy(node: fx.Node) -> bool:
    return not any(user.target in _NEEDS_LAYOUT for user in node.users)


def _eval_dropout(node: fx.Node) -> bool:
    bound = arguments(node)
    return not bound["train"] or bound["p"] == 0


def _same(node: fx.Node) -> bool:
    """Equal shape and type are enough for operators that can only reshape, extend, pool or cast."""
    source = node.args[0]
    if isinstance(source, (list, tuple)):
        return len(source) == 1 and same_type(source[0], node)
    return same_type(source, node)


def _identity_permutation(node: fx.Node) -> bool:
    dims = node.args[1]
    return list(dims) == list(range(len(dims)))  # type: ignore[arg-type]


def _whole_slice(node: fx.Node) -> bool:
    source, result, bound = tensor(node.args[0]), tensor(node), arguments(node)
    if source is None or result is None or bound["start"] not in (0, None) or bound["step"] != 1:
        return False
    return same_size(source.shape[bound["dim"]], result.shape[bound["dim"]])


def _zeros_listed(node: fx.Node) -> bool:
    sizes: Any = node.args[1]
    return all(isinstance(size, int) and size == 0 for size in sizes)


def _nothing_listed(node: fx.Node) -> bool:
    return len(node.args[1]) == 0  # type: ignore[arg-type]


def _real(node: fx.Node) -> bool:
    source = tensor(node.args[0])
    return source is not None and not source.is_complex()


def _neutral(number: float) -> Callable[[fx.Node], bool]:
    """Make a rule for arithmetic with one neutral number that changes no type and no shape."""

    def rule(node: fx.Node) -> bool:
        other = node.args[1]
        plain = isinstance(other, (int, float)) and other == number
        return plain and same_type(node.args[0], node)

    return rule


_RULES: dict[Any, Callable[[fx.Node], bool]] = {
    aten.alias.default: _always,
    aten.detach.default: _always,
    aten.lift_fresh.default: _always,
    aten.lift_fresh_copy.default: _always,
    aten.positive.default: _always,
    aten.resolve_neg.default: _always,
    aten.resolve_conj.default: _real,
    aten.conj.default: _real,
    aten.conj_physical.default: _real,
    aten._conj.default: _real,
    aten.real.default: _real,
    aten.clone.default: _copy,
    aten.contiguous.default: _copy,
    aten.dropout.default: _eval_dropout,
    aten.alpha_dropout.default: _eval_dropout,
    aten.feature_dropout.default: _eval_dropout,
    aten.feature_alpha_dropout.default: _eval_dropout,
    aten.to.dtype: _same,
    aten.to.device: _same,
    aten.to.dtype_layout: _same,
    aten.to.other: _same,
    aten.type_as.default: _same,
    aten._to_copy.default: _same,
    aten.reshape.default: _same,
    aten.expand.default: _same,
    aten.squeeze.default: _same,
    aten.squeeze.dim: _same,
    aten.squeeze.dims: _same,
    aten.permute.default: _identity_permutation,
    aten.slice.Tensor: _whole_slice,
    aten.pad.default: _zeros_listed,
    aten.constant_pad_nd.default: _zeros_listed,
    aten.cat.default: _same,
    aten.repeat.default: _same,
    aten.tile.default: _same,
    aten.roll.default: _zeros_listed,
    aten.flip.default: _nothing_listed,
    aten.adaptive_avg_pool1d.default: _same,
    aten.adaptive_avg_pool2d.default: _same,
    aten.adaptive_avg_pool3d.default: _same,
    aten.mul.Tensor: _neutral(1),
    aten.div.Tensor: _neutral(1),
    aten.add.Tensor: _neutral(0),
    aten.sub.Tensor: _neutral(0),
}
