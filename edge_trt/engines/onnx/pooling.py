# SPDX-License-Identifier: Apache-2.0
"""Emission of pooling.

ONNX Runtime and TensorRT agree on windows that round down. Rounding up is turned into padding
after the end, because ONNX drops a window that starts in the padding and TensorRT keeps it, and
because they divide by different counts there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_trt.engines.onnx.dispatch import emit_layer
from edge_trt.engines.onnx.graph import Graph, Value
from edge_trt.engines.onnx.padding import pad
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Pooling
from edge_trt.network.types import DType


@emit_layer.register(Pooling)
def _(layer: Pooling, graph: Graph, source: Tensor) -> str:
    if layer.type == "MAX":
        return _maximum(layer, graph, source)
    if source.dtype.is_float:
        return _average(layer, graph, source, source)
    # There is no kernel for means of integers.
    mean = _average(layer, graph, graph.cast(source, DType.FLOAT32), source)
    return graph.cast(mean, source.dtype)


def _maximum(layer: Pooling, graph: Graph, x: Tensor) -> str:
    overhang = _overhang(layer, x)
    if overhang is not None and _allowed(layer, overhang):
        return graph.op("MaxPool", x, **_windows(layer, _pads(layer, overhang)))
    lowest = graph.constant(_lowest(x.dtype), x.dtype)
    padded = _padded(layer, graph, x, x, overhang, lowest)
    return graph.op("MaxPool", padded, **_windows(layer, None))


def _average(layer: Pooling, graph: Graph, x: Value, source: Tensor) -> str:
    overhang = _overhang(layer, source)
    inclusive = not layer.average_count_excludes_padding and any(_pads(layer, None))
    if overhang is not None and _allowed(layer, overhang):
        if not inclusive:
            return graph.op("AveragePool", x, **_windows(layer, _pads(layer, overhang)))
        if not any(overhang):
            windows = _windows(layer, _pads(layer, overhang))
            return graph.op("AveragePool", x, count_include_pad=1, **windows)
    # The mean of values divided by the mean of ones: whatever is not counted cancels out.
    dtype = source.dtype if source.dtype.is_float else DType.FLOAT32
    zero, one = (graph.constant(value, dtype) for value in (0, 1))
    ones = graph.op("Expand", one, graph.op("Shape", x))
    if inclusive:
        ends, axes = _pads(layer, None), _spatial(layer)
        ones = pad(graph, ones, ends, one, axes, source.rank)
        x = pad(graph, x, ends, zero, axes, source.rank)
    mean, count = (
        graph.op(
            "AveragePool",
            _padded(layer, graph, t, source, overhang, zero, declared=not inclusive),
            **_windows(layer, None),
        )
        for t in (x, ones)
    )
    return graph.op("Div", mean, count)


def _overhang(layer: Pooling, source: Tensor) -> tuple[int, ...] | None:
    """Elements by which the last window reaches beyond the declared padding, if known."""
    if layer.padding_mode == "EXPLICIT_ROUND_DOWN":
        return (0,) * len(layer.stride_nd)
    sizes = source.shape[2:]
    if not all(isinstance(d, int) for d in sizes):
        return None
    return tuple(
        (window - int(size) - before - after) % stride
        for size, window, before, after, stride in zip(
            sizes, layer.window_size_nd, layer.pre_padding, layer.post_padding, layer.stride_nd,
            strict=True,
        )
    )  # fmt: skip


def _pads(layer: Pooling, overhang: tuple[int, ...] | None) -> tuple[int, ...]:
    extra = overhang or (0,) * len(layer.stride_nd)
    after = (p + e for p, e in zip(layer.post_padding, extra, strict=True))
    return (*layer.pre_padding, *after)


def _allowed(layer: Pooling, overhang: tuple[int, ...]) -> bool:
    """ONNX Runtime refuses padding that is as large as the window."""
    windows = (*layer.window_size_nd, *layer.window_size_nd)
    return all(p < w for p, w in zip(_pads(layer, overhang), windows, strict=True))


def _windows(layer: Pooling, pads: tuple[int, ...] | None) -> dict[str, Any]:
    return {"kernel_shape": layer.window_size_nd, "strides": layer.stride_nd, "pads": pads}


def _padded(
    layer: Pooling, graph: Graph, x: Value, source: Tensor, overhang: tuple[int, ...] | None,
    fill: Value, *, declared: bool = True,
) -> str:  # fmt: skip
    """`x` with the overhang, and the declared padding unless it is there already."""
    before, after = (layer.pre_padding, layer.post_padding)
    beside = [b + a for b, a in zip(before, after, strict=True)]
    if not declared:
        before = after = (0,) * len(before)
    if overhang is not None:
        ends: tuple[int, ...] | Value = (
            *before,
            *(a + o for a, o in zip(after, overhang, strict=True)),
        )
    else:
        sizes = graph.op("Shape", source, start=2)
        missing = [w - p for w, p in zip(layer.window_size_nd, beside, strict=True)]
        short = graph.op("Sub", graph.constant(missing), sizes)
        rest = graph.op("Mod", short, graph.constant(layer.stride_nd))
        last = graph.op("Add", rest, graph.constant(after))
        ends = graph.op("Concat", graph.constant(before), last, axis=0)
    return pad(graph, x, ends, fill, _spatial(layer), source.rank)


def _spatial(layer: Pooling) -> range:
    return range(2, 2 + len(layer.stride_nd))


def _lowest(dtype: DType) -> float | int:
    return float(np.finfo(dtype.numpy).min) if dtype.is_float else np.iinfo(dtype.numpy).min
