# SPDX-License-Identifier: Apache-2.0
"""Reshapes and strided slices as convolutions whose weights are zeros and ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from edge_trt.network.graph import Node, Tensor
from edge_trt.network.layer import Layer
from edge_trt.network.layers import Convolution, Deconvolution, Shuffle, Slice
from edge_trt.placement.recipes.recipe import Kitchen, is_static
from edge_trt.placement.sizes import numbers


def shuffle(kitchen: Kitchen, node: Node) -> Sequence[Tensor] | None:
    """Depth to space, space to depth, and channel shuffle, which are three reshapes each."""
    steps = _three(node)
    if steps is None:
        return None
    source, middle, order = steps
    sizes, result = numbers(source), numbers(node.outputs[0])
    found: tuple[Layer, np.ndarray] | None = None
    if len(middle) == 6 and order == (0, 1, 4, 2, 5, 3):
        found = _depth_to_space(sizes, middle)
    elif len(middle) == 6 and order == (0, 1, 3, 5, 2, 4):
        found = _space_to_depth(sizes, middle)
    elif len(middle) == 5 and order == (0, 2, 1, 3, 4):
        found = _channel_shuffle(sizes, middle)
    if found is None:
        return None
    layer, kernel = found
    tensor = kitchen.add(node, layer, kitchen.rewriter[source], kitchen.constant(node, kernel))
    return [tensor] if numbers(tensor) == result else None


def _three(node: Node) -> tuple[Tensor, tuple[int, ...], tuple[int, ...]] | None:
    """Source, shape in the middle, and order, of reshape, transpose, reshape from 4-d to 4-d."""
    chain: list[Node] = [node]
    while len(chain) < 3:
        producer = chain[-1].inputs[0].producer
        if producer is None or not isinstance(producer.layer, Shuffle):
            return None
        chain.append(producer)
    last, turned, opened = (cast("Shuffle", step.layer) for step in chain)
    source = chain[2].inputs[0]
    plain = (
        last == Shuffle(reshape_dims=last.reshape_dims)
        and opened == Shuffle(reshape_dims=opened.reshape_dims)
        and turned == Shuffle(first_transpose=turned.first_transpose)
    )
    tensors = [source, *(step.outputs[0] for step in chain)]
    fits = source.rank == 4 and node.outputs[0].rank == 4 and all(t.type.is_static for t in tensors)
    if not plain or not fits or turned.first_transpose is None:
        return None
    return source, numbers(chain[2].outputs[0]), turned.first_transpose


def _depth_to_space(
    sizes: tuple[int, ...], middle: tuple[int, ...]
) -> tuple[Layer, np.ndarray] | None:
    """[N, C r r, H, W] -> [N, C, H r, W r]: a deconvolution of r x r with stride r."""
    n, c, r, s, h, w = middle
    if sizes != (n, c * r * s, h, w):
        return None
    return Deconvolution((r, s), (0, 0), (0, 0), (1, 1)), _places(c, r, s)


def _space_to_depth(
    sizes: tuple[int, ...], middle: tuple[int, ...]
) -> tuple[Layer, np.ndarray] | None:
    """[N, C, H r, W r] -> [N, C r r, H, W]: a convolution of r x r with stride r."""
    n, c, h, r, w, s = middle
    if sizes != (n, c, h * r, w * s):
        return None
    return Convolution((r, s), (0, 0), (0, 0), (1, 1)), _places(c, r, s)


def _places(channels: int, rows: int, columns: int) -> np.ndarray:
    """[C r s, C, r, s]: channel `c r s + i s + j` is place (i, j) of channel c."""
    identity = np.eye(channels * rows * columns)
    return identity.reshape(-1, channels, rows, columns)


def _channel_shuffle(
    sizes: tuple[int, ...], middle: tuple[int, ...]
) -> tuple[Layer, np.ndarray] | None:
    """[N, g k, H, W] -> [N, k g, H, W]: a convolution of 1x1 by a permutation."""
    n, groups, each, h, w = middle
    channels = groups * each
    if sizes != (n, channels, h, w):
        return None
    order = np.arange(channels).reshape(groups, each).T.reshape(-1)
    kernel = np.eye(channels)[order].reshape(channels, channels, 1, 1)
    return Convolution((1, 1), (0, 0), (0, 0), (1, 1)), kernel


def strided_slice(kitchen: Kitchen, node: Node) -> Sequence[Tensor] | None:
    """`x[..., a::r, b::s]` as a convolution of one channel each, with stride (r, s)."""
    layer = cast("Slice", node.layer)
    if layer.start is None or layer.shape is None or not is_static(node):
        return None
    if layer.mode != "STRICT_BOUNDS" or not set(layer.axes) <= {2, 3} or max(layer.stride) > 8:
        return None
    _, channels, *places = numbers(node.inputs[0])
    start, stride, padding = [0, 0], [1, 1], [0, 0]
    for axis, first, count, step in zip(
        layer.axes, layer.start, layer.shape, layer.stride, strict=True
    ):
        free = places[axis - 2] - count * step
        if not 0 <= first < step or free >= step:
            return None  # other windows than whole steps from the beginning
        start[axis - 2], stride[axis - 2], padding[axis - 2] = first, step, max(0, -free)
    kernel = np.zeros((channels, 1, *stride))
    kernel[:, :, start[0], start[1]] = 1
    post = (padding[0], padding[1])
    window = Convolution((stride[0], stride[1]), (0, 0), post, (1, 1), channels)
    x = kitchen.rewriter[node.inputs[0]]
    return [kitchen.add(node, window, x, kitchen.constant(node, kernel))]
