# SPDX-License-Identifier: Apache-2.0
"""One spelling per operation, so that fewer converters are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_trt.lowering import variants_creation, variants_layers, variants_splits, variants_views
from edge_trt.lowering.edit import calls

if TYPE_CHECKING:
    from torch import fx

    from edge_trt.lowering.variants_views import Rule

RULES: dict[object, Rule] = {
    **variants_views.RULES,
    **variants_splits.RULES,
    **variants_creation.RULES,
    **variants_layers.RULES,
}
"""Operator -> rule ``(gm, node) -> bool`` that rewrites one call of it in place."""


def normalise_variants(gm: fx.GraphModule) -> bool:
    """Rewrite operators that say the same thing in other words to one canonical operator.

    ::

        before  flatten(x, 1); transpose(x, 0, 1); chunk(x, 2)[1]; x.type_as(h); zeros_like(x)
        after   reshape(x, [-1, 8]); permute(x, [1, 0]); slice(x, 0, 4, 8);
                _to_copy(x, dtype=float16); full([2, 8], 0)

    The canonical operators, and what they stand for (the rules are in ``variants_*.py``):

    ================  ==========================================================================
    ``reshape``       view, _unsafe_view, flatten, unflatten, view_as, reshape_as, ravel
    ``permute``       transpose, t, mT, numpy_T, movedim, moveaxis, swapaxes, swapdims
    ``expand``        expand_as, broadcast_to
    ``slice``         narrow, and the used outputs of chunk, split*, tensor_split, [hvd]split
    ``select``        the used outputs of unbind
    ``_to_copy``      to.*, type_as, where the data type changes
    ``full``          zeros, ones, scalar_tensor, new_*, *_like, fill, zero
    ``arange``        every overload becomes ``start_step``
    layers            convolution, string padding, and the core-ATen forms of normalisation,
                      softmax, pooling and attention become the operators that ``torch.nn`` calls
    spelling          multiply -> mul, absolute -> abs, and so on
    ================  ==========================================================================

    All of it is free: a rule never adds work to the network.
    """
    changed = False
    for node in calls(gm):
        changed |= normalise_node(gm, node)
    return changed


def normalise_node(gm: fx.GraphModule, node: fx.Node) -> bool:
    """Apply the rules to one call; return whether it changed."""
    rule = RULES.get(node.target)
    return rule is not None and "val" in node.meta and rule(gm, node)
