# SPDX-License-Identifier: Apache-2.0
"""Rows for pooling, resizing and grid sampling."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import torch
import torch.nn.functional as F

from edge_trt.network.layers import GridSample, Pooling, Resize
from tests.support.layer_rows.row import Row, bfloat16, normal, row, whole


def pooling_reference(layer: Pooling, x: np.ndarray) -> np.ndarray:
    """What Pooling means: window by window.

    The mean is over the overlap of the window with the input, or with the padded input.
    """
    axes = range(len(layer.stride_nd))
    sizes = x.shape[2:]
    padded = [n + layer.pre_padding[i] + layer.post_padding[i] for i, n in enumerate(sizes)]
    rounding = math.ceil if layer.padding_mode == "EXPLICIT_ROUND_UP" else math.floor
    counts = [
        rounding((padded[i] - layer.window_size_nd[i]) / layer.stride_nd[i]) + 1 for i in axes
    ]
    result = np.zeros((*x.shape[:2], *counts), np.float64)
    for place in np.ndindex(*counts):
        begin = [place[i] * layer.stride_nd[i] - layer.pre_padding[i] for i in axes]
        end = [begin[i] + layer.window_size_nd[i] for i in axes]
        inside = tuple(slice(max(begin[i], 0), min(end[i], sizes[i])) for i in axes)
        window = x[(slice(None), slice(None), *inside)].astype(np.float64)
        window = window.reshape(*x.shape[:2], -1)
        if layer.type == "MAX":
            result[(..., *place)] = window.max(-1, initial=_lowest(x.dtype))
            continue
        count = window.shape[-1]
        if not layer.average_count_excludes_padding:
            ends = [min(end[i], sizes[i] + layer.post_padding[i]) for i in axes]
            count = math.prod(e - b for b, e in zip(begin, ends, strict=True))
        result[(..., *place)] = window.sum(-1) / count
    return (result if x.dtype.kind != "i" else np.trunc(result)).astype(x.dtype)


def _lowest(dtype: np.dtype) -> float:
    return float(np.iinfo(dtype).min) if dtype.kind in "iu" else float(ml_dtypes.finfo(dtype).min)


def rows() -> Iterator[Row]:
    yield from _poolings()
    yield from _resizes()
    yield from _samples()


def _pool(layer: Pooling, x: np.ndarray, **options: Any) -> Row:
    return row(layer, [x], lambda x: pooling_reference(layer, x), **options)


def _poolings() -> Iterator[Row]:
    x = normal(2, 3, 8, 9)
    for kind, mode, excludes in itertools.product(
        ("MAX", "AVERAGE"), ("EXPLICIT_ROUND_DOWN", "EXPLICIT_ROUND_UP"), (True, False)
    ):
        if kind == "MAX" and not excludes:
            continue
        for window, stride, pre, post in [
            ((2, 2), (2, 2), (0, 0), (0, 0)),
            ((3, 3), (2, 2), (1, 1), (1, 1)),
            ((3, 2), (2, 3), (0, 1), (1, 0)),
            ((3, 3), (3, 4), (1, 0), (0, 1)),
        ]:
            layer = Pooling(kind, window, stride, pre, post, mode, excludes)  # type: ignore[arg-type]
            yield _pool(layer, x)
    # The last window lies in the padding altogether.
    yield _pool(Pooling("MAX", (2, 2), (3, 3), (0, 0), (1, 1), "EXPLICIT_ROUND_UP"), x[..., :7, :7])
    yield _pool(Pooling("MAX", (1, 1), (3, 4), (0, 0), (0, 0), "EXPLICIT_ROUND_UP"), x)
    deep = normal(1, 2, 4, 5, 6)
    for kind in ("MAX", "AVERAGE"):
        for mode in ("EXPLICIT_ROUND_DOWN", "EXPLICIT_ROUND_UP"):
            yield _pool(
                Pooling(kind, (2, 2, 3), (2, 2, 2), (0, 1, 1), (0, 0, 1), mode),
                deep,  # type: ignore[arg-type]
            )
    plain = Pooling("MAX", (2, 2), (2, 2), (1, 0), (0, 1))
    for dtype in (np.float16, bfloat16, np.int8):
        values = whole(1, 2, 6, 6, low=-90, high=90).astype(dtype)
        yield _pool(plain, values)
        yield _pool(Pooling("AVERAGE", (2, 2), (2, 2), (0, 0), (0, 0)), values, tolerance=1e-2)


def _positions(layer: Resize, size: int, count: int, scale: float) -> np.ndarray:
    """Where in the input each output element lies."""
    places = np.arange(count)
    if layer.coordinate_transformation == "ALIGN_CORNERS":
        return places * ((size - 1) / (count - 1) if count > 1 else 0.0)
    if layer.coordinate_transformation == "ASYMMETRIC":
        return places / scale
    if layer.selector_for_single_pixel == "UPPER" and count == 1:
        return np.zeros(1)
    return (places + 0.5) / scale - 0.5


def resize_reference(layer: Resize, x: np.ndarray, sizes: np.ndarray | None = None) -> np.ndarray:
    """What Resize means for NEAREST and LINEAR: axis after axis."""
    result = x.astype(np.float64)
    for axis in range(x.ndim):
        size = x.shape[axis]
        if layer.scales is not None:
            scale, count = layer.scales[axis], int(size * layer.scales[axis])
        else:
            wanted = layer.shape if layer.shape is not None else sizes
            count = int(wanted[axis])  # type: ignore[index]
            scale = count / size
        if scale == 1:
            continue
        at = _positions(layer, size, count, scale)
        if layer.resize_mode == "NEAREST":
            rounding = {
                "FLOOR": np.floor, "CEIL": np.ceil, "HALF_UP": lambda p: np.floor(p + 0.5),
                "HALF_DOWN": lambda p: np.ceil(p - 0.5),
            }[layer.nearest_rounding]  # fmt: skip
            result = np.take(result, np.clip(rounding(at), 0, size - 1).astype(int), axis)
            continue
        low = np.floor(at)
        part = (at - low).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
        below, above = (np.clip(low + d, 0, size - 1).astype(int) for d in (0, 1))
        result = np.take(result, below, axis) * (1 - part) + np.take(result, above, axis) * part
    return result.astype(x.dtype)


def _resize(layer: Resize, inputs: list[Any], **options: Any) -> Row:
    known = 0 if layer.resize_mode == "NEAREST" else 2
    return row(layer, inputs, lambda *a: resize_reference(layer, *a), known=known, **options)


def _resizes() -> Iterator[Row]:
    x = normal(2, 3, 5, 6)
    for coordinates in ("ALIGN_CORNERS", "ASYMMETRIC", "HALF_PIXEL"):
        for shape in ((2, 3, 10, 9), (2, 3, 3, 4), (2, 3, 1, 12)):
            for rounding in ("HALF_UP", "HALF_DOWN", "FLOOR", "CEIL"):
                yield _resize(Resize("NEAREST", shape, None, coordinates, rounding), [x])  # type: ignore[arg-type]
            yield _resize(Resize("LINEAR", shape, None, coordinates), [x])  # type: ignore[arg-type]
        wanted = np.int64([2, 3, 8, 8])
        for mode in ("NEAREST", "LINEAR"):
            layer = Resize(mode, coordinate_transformation=coordinates)  # type: ignore[arg-type]
            yield _resize(layer, [x, wanted], symbolic=False)
            scaled = Resize(mode, None, (1, 1, 2.0, 1.5), coordinates)  # type: ignore[arg-type]
            yield _resize(scaled, [x])
    upper = Resize("LINEAR", (2, 3, 1, 1), selector_for_single_pixel="UPPER")
    yield _resize(upper, [x])
    yield _resize(Resize("LINEAR", (1, 2, 6, 4, 8)), [normal(1, 2, 3, 4, 5)])
    yield _resize(Resize("NEAREST", (1, 2, 6, 4, 8)), [normal(1, 2, 3, 4, 5)])
    for dtype in (np.float16, bfloat16, np.int8):
        y = whole(1, 2, 4, 4, low=0, high=90).astype(dtype)
        yield _resize(Resize("NEAREST", (1, 2, 8, 6), None, "ASYMMETRIC"), [y])
    for dtype in (np.float16, bfloat16):
        yield _resize(
            Resize("LINEAR", (1, 2, 8, 6)), [normal(1, 2, 4, 4, dtype=dtype)], tolerance=2e-2
        )
    for align in (False, True):
        coordinates = "ALIGN_CORNERS" if align else "HALF_PIXEL"
        cubic = Resize("CUBIC", (2, 3, 9, 4), coordinate_transformation=coordinates)  # type: ignore[arg-type]
        yield row(
            cubic, [x],
            lambda x, align=align: F.interpolate(
                torch.from_numpy(x), (9, 4), mode="bicubic", align_corners=align
            ).numpy(),
            known=2,
        )  # fmt: skip


def _samples() -> Iterator[Row]:
    x, grid = normal(2, 3, 5, 6), 1.4 * normal(2, 4, 3, 2)
    modes = {"NEAREST": "nearest", "LINEAR": "bilinear", "CUBIC": "bicubic"}
    padding = {"FILL": "zeros", "CLAMP": "border", "REFLECT": "reflection"}
    for mode, sample, align in itertools.product(modes, padding, (False, True)):
        yield row(
            GridSample(mode, align, sample), [x, grid],  # type: ignore[arg-type]
            lambda x, g, m=mode, s=sample, a=align: F.grid_sample(
                torch.from_numpy(x), torch.from_numpy(g), modes[m], padding[s], a
            ).numpy(),
        )  # fmt: skip
    half = [x.astype(np.float16), grid.astype(np.float16)]
    yield row(
        GridSample(), half,
        lambda x, g: F.grid_sample(
            torch.from_numpy(x).float(), torch.from_numpy(g).float(), align_corners=False
        ).half().numpy(),
        tolerance=2e-2,
    )  # fmt: skip
