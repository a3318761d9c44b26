# SPDX-License-Identifier: Apache-2.0
"""What a recipe is: other layers for one that a DLA does not take, with the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_trt.network.graph import Node, Tensor
from edge_trt.network.layer import Layer
from edge_trt.network.layers import Scale, Shuffle
from edge_trt.network.rewrite import Rewriter
from edge_trt.placement.sizes import numbers


@dataclass(eq=False)
class Kitchen:
    """A network under reconstruction, and which of its flat tensors exist in four dimensions too.

    Attributes:
        rewriter: builds the new network.
        unfolded: the four-dimensional form [N, C, 1, 1] of tensors [N, C] of the old network.
    """

    rewriter: Rewriter
    unfolded: dict[Tensor, Tensor] = field(default_factory=dict[Tensor, Tensor])

    def add(self, node: Node, layer: Layer, *inputs: Tensor) -> Tensor:
        """Appends a layer that stands for a node, with its origin."""
        return self.rewriter.insert(layer, *inputs, name=node.name, origin=node.origin)

    def constant(self, node: Node, array: np.ndarray) -> Tensor:
        """A constant of the type of a node's result."""
        typed = np.ascontiguousarray(array, node.outputs[0].dtype.numpy)
        return self.rewriter.constant(typed, f"{node.name}.constant")

    def scale(self, node: Node, x: Tensor, factor: float, shift: float = 0.0) -> Tensor:
        """`x * factor + shift` as one layer."""
        channels = numbers(x)[1]
        arrays = (np.full(channels, value) for value in (factor, shift))
        return self.add(node, Scale(), x, *(self.constant(node, array) for array in arrays))

    def flat(self, node: Node, x: Tensor) -> list[Tensor]:
        """The result [N, C] of a node that was computed as `x` in four dimensions."""
        self.unfolded[node.outputs[0]] = x
        return [self.add(node, Shuffle(reshape_dims=numbers(node.outputs[0])), x)]


Recipe = Callable[[Kitchen, Node], "Sequence[Tensor] | None"]
"""Gives what stands for a node's results, or None where it does not apply."""


def is_static(node: Node, rank: int = 4) -> bool:
    """Whether all computed tensors of a node have known sizes, the first input of that rank."""
    tensors = [t for t in (*node.inputs, *node.outputs) if not t.is_constant]
    return node.inputs[0].rank == rank and all(t.type.is_static for t in tensors)
