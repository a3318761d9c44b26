# SPDX-License-Identifier: Apache-2.0
"""Complex numbers become pairs of real ones, the last axis of a real tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from edge_trt.lowering import (
    complex_arithmetic,
    complex_spectrograms,
    complex_transforms,
    complex_views,
)
from edge_trt.lowering.complex_operands import Pairs
from edge_trt.lowering.edit import add_constant, constant, replace, tensor
from edge_trt.lowering.remove_dead_code import remove_dead_code
from edge_trt.lowering.shapes import same_shape, same_type

if TYPE_CHECKING:
    from edge_trt.lowering.complex_operands import Rule

RULES: dict[object, Rule] = {
    **complex_arithmetic.RULES,
    **complex_spectrograms.RULES,
    **complex_transforms.RULES,
    **complex_views.RULES,
}
"""Operator -> rule ``(pairs, node)`` that yields the pairs of its result, or its real result."""


def complex_as_pairs(gm: fx.GraphModule) -> bool:
    """Compute with real tensors of shape ``[..., 2]`` instead of complex tensors ``[...]``.

    ::

        before  view_as_real(mul(view_as_complex(x), <freqs>))      # x: [4, 8, 2]
        after   a = select(x, 2, 0); b = select(x, 2, 1); c = select(<freqs as pairs>, 1, 0) ...
                stack([sub(mul(a, c), mul(b, d)), add(mul(a, d), mul(b, c))], 2)

    A complex value that has pairs is still there for operators that have no rule, and is dropped
    when nobody reads it. Whatever comes of such an operator (a Fourier transform along one axis)
    has no pairs, so that it and what is computed from it fall back together.
    """
    pairs = Pairs(gm)
    changed = False
    for node in list(gm.graph.nodes):
        found = tensor(node)
        if found is None:
            continue
        if found.dtype is torch.complex64:
            _keep(pairs, node, found)
        elif pairs.reads(node) and node.target in RULES:
            result = RULES[node.target](pairs, node)
            if result is not None and same_type(result, node):
                replace(node, result)
                changed = True
    remove_dead_code(gm)  # also pairs that nobody reads, which would look like readers to others
    return changed


def _keep(pairs: Pairs, node: fx.Node, found: torch.Tensor) -> None:
    """Remember the pairs of a complex value, if it is a constant or its operator has a rule."""
    data = constant(pairs.gm, node)
    result: Any = None
    if data is not None:
        name = str(node.meta.get("fqn", node.target))
        pair = torch.view_as_real(data.resolve_conj()).contiguous()
        result = add_constant(pairs.gm, node, pair, name)
    elif node.target in RULES:
        result = RULES[node.target](pairs, node)
    made = tensor(result)
    if made is None or made.dtype is not torch.float32:
        return
    if same_shape(made.shape, (*found.shape, 2)):
        pairs.of[node] = result
