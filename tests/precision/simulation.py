# SPDX-License-Identifier: Apache-2.0
"""int8 arithmetic in plain numpy, in integers wherever the hardware uses integers.

`requantized(network, feeds, levels)` computes every Quantize layer of a network from the int8
values that an engine found before it: what is compared is one requantization, not their sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

import numpy as np

from edge_trt.network.graph import Network, Tensor
from edge_trt.network.layer import Layer
from edge_trt.network.layers import (
    Activation,
    Concatenation,
    Convolution,
    Dequantize,
    ElementWise,
    MatrixMultiply,
    Pooling,
    Quantize,
    Reduce,
    Shuffle,
)
from edge_trt_calibration.weights import along

Array = np.ndarray


def requantized(
    network: Network, feeds: Mapping[str, Array], levels: Mapping[str, Array]
) -> dict[str, Array]:
    """The results of all Quantize layers by name, as exact numbers that were not rounded yet."""
    values: dict[Tensor, Array] = {t: feeds[t.name].astype(np.float64) for t in network.inputs}
    found: dict[str, Array] = {}
    for node in network.nodes:
        inputs = [values[t] if t.data is None else t.data for t in node.inputs]
        result = compute(node.layer, *inputs)
        (output,) = node.outputs
        if isinstance(node.layer, Quantize):
            found[output.name] = result
            result = levels[output.name].astype(np.float64)
        values[output] = result
    return found


@singledispatch
def compute(layer: Layer, *inputs: Any) -> Array:
    """One layer in float64; products of whole numbers are exact."""
    raise NotImplementedError(layer.kind)


@compute.register
def _(layer: Quantize, x: Array, scale: Array) -> Array:
    return np.clip(x / scale.astype(np.float64), -128, 127)


@compute.register
def _(layer: Dequantize, x: Array, scale: Array) -> Array:
    axis = layer.axis if scale.ndim else None
    return x.astype(np.float64) * along(scale.astype(np.float64), axis, x.ndim)


@compute.register
def _(layer: Convolution, x: Array, kernel: Array, bias: Array | None = None) -> Array:
    pads = zip(layer.pre_padding, layer.post_padding, strict=True)
    padded = np.pad(x, [(0, 0), (0, 0), *pads])
    maps, channels = kernel.shape[0] // layer.num_groups, kernel.shape[1]
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[2:], axis=(2, 3))
    windows = windows[:, :, :: layer.stride_nd[0], :: layer.stride_nd[1]]
    results = [
        np.einsum(
            "nchwij,kcij->nkhw",
            windows[:, g * channels : (g + 1) * channels],
            kernel[g * maps : (g + 1) * maps].astype(np.float64),
        )
        for g in range(layer.num_groups)
    ]
    result = np.concatenate(results, axis=1)
    return result if bias is None else result + bias.astype(np.float64)[:, None, None]


@compute.register
def _(layer: MatrixMultiply, a: Array, b: Array) -> Array:
    right = np.swapaxes(b, -1, -2) if layer.op1 == "TRANSPOSE" else b
    return a @ right.astype(np.float64)


@compute.register
def _(layer: ElementWise, a: Array, b: Array) -> Array:
    assert layer.op == "SUM"
    return a + b.astype(np.float64)


@compute.register
def _(layer: Activation, x: Array) -> Array:
    if layer.type == "RELU":
        return np.maximum(x, 0)
    assert layer.type == "CLIP"
    return np.clip(x, layer.alpha, layer.beta)


@compute.register
def _(layer: Pooling, x: Array) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(x, layer.window_size_nd, axis=(2, 3))
    windows = windows[:, :, :: layer.stride_nd[0], :: layer.stride_nd[1]]
    return windows.max(axis=(-1, -2)) if layer.type == "MAX" else windows.mean(axis=(-1, -2))


@compute.register
def _(layer: Reduce, x: Array) -> Array:
    assert layer.op == "AVG"
    return x.mean(axis=tuple(layer.axes), keepdims=layer.keep_dims)


@compute.register
def _(layer: Concatenation, *inputs: Array) -> Array:
    return np.concatenate(inputs, axis=layer.axis)


@compute.register
def _(layer: Shuffle, x: Array) -> Array:
    assert layer.reshape_dims is not None
    return x.reshape([x.shape[i] if d == 0 else d for i, d in enumerate(layer.reshape_dims)])
