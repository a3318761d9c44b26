# SPDX-License-Identifier: Apache-2.0
"""Means and sums as pools or convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from edge_trt.network.graph import Node, Tensor
from edge_trt.network.layers import Convolution, Pooling, Reduce
from edge_trt.placement.recipes.recipe import Kitchen, is_static
from edge_trt.placement.sizes import numbers

MOST_POOL = 8
MOST_KERNEL = 32


def reduce(kitchen: Kitchen, node: Node) -> Sequence[Tensor] | None:
    """A mean or sum over H, W or both: pools of at most 8, one after the other, or a convolution.

    A mean of equal parts is the mean of their means, so windows multiply. A size that is no product
    of numbers up to 8 becomes a convolution of one channel each whose weights are 1 / count. A mean
    over the channels is a convolution of 1x1.
    """
    layer = cast("Reduce", node.layer)
    if layer.op not in ("AVG", "SUM") or not is_static(node):
        return None
    x = kitchen.rewriter[node.inputs[0]]
    sizes = numbers(node.inputs[0])
    if layer.axes == (1,):
        pooled = _over_channels(kitchen, node, x)
    elif set(layer.axes) <= {2, 3}:
        window = [sizes[axis] if axis in layer.axes else 1 for axis in (2, 3)]
        pooled = _over_places(kitchen, node, x, window)
    else:
        return None
    if pooled is None:
        return None
    count = int(np.prod([sizes[axis] for axis in layer.axes]))
    if layer.op == "SUM" and count > 1:
        pooled = kitchen.scale(node, pooled, count)
    if layer.keep_dims:
        return [pooled]
    return kitchen.flat(node, pooled) if node.outputs[0].rank == 2 else None


def _over_places(kitchen: Kitchen, node: Node, x: Tensor, window: list[int]) -> Tensor | None:
    steps = [factors(size) for size in window]
    if all(step is not None for step in steps):
        rows, columns = (step or [] for step in steps)
        length = max(len(rows), len(columns), 1)
        rows, columns = (s + [1] * (length - len(s)) for s in (rows, columns))
        for pair in zip(rows, columns, strict=True):
            x = kitchen.add(node, Pooling("AVERAGE", pair, pair, (0, 0), (0, 0)), x)
        return x
    if max(window) > MOST_KERNEL:
        return None
    channels = numbers(x)[1]
    kernel = np.full((channels, 1, *window), 1 / (window[0] * window[1]))
    layer = Convolution((1, 1), (0, 0), (0, 0), (1, 1), channels)
    return kitchen.add(node, layer, x, kitchen.constant(node, kernel))


def _over_channels(kitchen: Kitchen, node: Node, x: Tensor) -> Tensor:
    channels = numbers(x)[1]
    kernel = np.full((1, channels, 1, 1), 1 / channels)
    layer = Convolution((1, 1), (0, 0), (0, 0), (1, 1))
    return kitchen.add(node, layer, x, kitchen.constant(node, kernel))


def factors(size: int) -> list[int] | None:
    """Numbers up to 8 whose product is `size`, as few as the largest first gives; None if none."""
    found: list[int] = []
    while size > 1:
        step = next((n for n in range(min(MOST_POOL, size), 1, -1) if size % n == 0), None)
        if step is None:
            return None
        found.append(step)
        size //= step
    return found
