# SPDX-License-Identifier: Apache-2.0
"""Rewrites that bring a layer into a form that a DLA takes, with the same numbers.

They are for the layers that a plan puts on DLA with them, and for no others: the GPU runs the
first form at least as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.rewrite import Rewriter, rewrite
from edge_trt.placement.recipes.moved import shuffle, strided_slice
from edge_trt.placement.recipes.pointwise import divide, hard_sigmoid, negate, resize, swap
from edge_trt.placement.recipes.pooled import reduce
from edge_trt.placement.recipes.recipe import Kitchen, Recipe
from edge_trt.placement.recipes.unfolded import linear

RECIPES: dict[str, Recipe] = {
    "reduce": reduce,
    "hard_sigmoid": hard_sigmoid,
    "negate": negate,
    "divide": divide,
    "swap": swap,
    "resize": resize,
    "strided_slice": strided_slice,
    "shuffle": shuffle,
    "linear": linear,
}
"""By the name that rules call them."""


def apply(network: Network, wanted: Mapping[str, str]) -> tuple[Network, dict[str, list[str]]]:
    """Rewrites some layers.

    Args:
        network: it is not changed.
        wanted: name of a recipe by the name of the layer.

    Returns:
        The new network, and the names of the layers that stand for each rewritten one.
    """
    change = _Change(wanted)
    rewritten = rewrite(network, change)
    rewritten.prune()
    left = {node.name for node in rewritten.nodes}
    made = {name: [n for n in names if n in left] for name, names in change.made.items()}
    return rewritten, {name: names for name, names in made.items() if names}


class _Change:
    """The rule of the rewrite."""

    def __init__(self, wanted: Mapping[str, str]) -> None:
        self.made: dict[str, list[str]] = {}
        self._wanted = wanted
        self._kitchens: dict[int, Kitchen] = {}

    def __call__(self, rewriter: Rewriter, node: Node) -> Sequence[Tensor] | None:
        recipe = self._wanted.get(node.name)
        if recipe is None:
            return None
        kitchen = self._kitchens.setdefault(id(rewriter), Kitchen(rewriter))
        before = len(rewriter.network.nodes)
        results = RECIPES[recipe](kitchen, node)
        if results is None:
            del rewriter.network.nodes[before:]
            return None
        self.made[node.name] = [n.name for n in rewriter.network.nodes[before:]]
        return results


__all__ = ["RECIPES", "apply"]
