# SPDX-License-Identifier: Apache-2.0
"""Small questions about tensors, as the rules of the DLA ask them."""

from __future__ import annotations

from collections.abc import Iterator

from edge_trt.network.graph import Node, Tensor
from edge_trt.network.types import volume


def data(node: Node) -> Iterator[Tensor]:
    """Inputs that are computed, and the results."""
    yield from (t for t in node.inputs if not t.is_constant)
    yield from node.outputs


def first(node: Node) -> Tensor:
    """The first input that is computed; a constant where all are."""
    return next((t for t in node.inputs if not t.is_constant), node.inputs[0])


def batch(tensor: Tensor) -> int:
    """The product of all sizes left of the last three; sizes have to be numbers."""
    size = volume(tensor.shape[:-3])
    assert isinstance(size, int)
    return size


def static(tensor: Tensor) -> bool:
    """Whether every size is a number."""
    return tensor.type.is_static


def numbers(tensor: Tensor) -> tuple[int, ...]:
    """The sizes that are numbers."""
    return tuple(d for d in tensor.shape if isinstance(d, int))


def elements(tensor: Tensor) -> int:
    """Number of elements; unknown sizes count as 1."""
    total = 1
    for size in numbers(tensor):
        total *= size
    return total


def outside(values: tuple[int, ...], low: int, high: int) -> tuple[int, ...] | None:
    """The values if one of them lies outside of low..high, else None."""
    return None if all(low <= v <= high for v in values) else values
