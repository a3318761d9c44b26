# SPDX-License-Identifier: Apache-2.0
"""Rows for layers that move elements or speak of shapes, and for gathering and scattering."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edge_trt.network.layers import (
    Concatenation,
    Fill,
    Gather,
    OneHot,
    Scatter,
    Shape,
    Shuffle,
    Slice,
)
from tests.support.layer_rows.row import Row, bfloat16, normal, row, whole

DTYPES = (np.float32, np.float16, bfloat16, np.int32, np.int64, np.int8, np.uint8, np.bool_)


def slice_reference(layer: Slice, x: np.ndarray, *extra: np.ndarray) -> np.ndarray:
    """What Slice means: one element at a time."""
    operands = list(extra)
    start = layer.start if layer.start is not None else tuple(operands.pop(0).tolist())
    shape = layer.shape if layer.shape is not None else tuple(operands.pop(0).tolist())
    fill = operands.pop(0) if layer.mode == "FILL" else None
    sizes = list(x.shape)
    for axis, size in zip(layer.axes, shape, strict=True):
        sizes[axis] = size
    result = np.empty(sizes, x.dtype)
    for place in np.ndindex(*sizes):
        source = list(place)
        for i, axis in enumerate(layer.axes):
            source[axis] = start[i] + place[axis] * layer.stride[i]
        inside = all(0 <= s < n for s, n in zip(source, x.shape, strict=True))
        if not inside and layer.mode == "FILL":
            result[place] = fill
            continue
        bounded = [_bounded(layer.mode, s, n) for s, n in zip(source, x.shape, strict=True)]
        result[place] = x[tuple(bounded)]
    return result


def _bounded(mode: str, at: int, size: int) -> int:
    if mode == "CLAMP":
        return min(max(at, 0), size - 1)
    if mode == "WRAP":
        return at % size
    if mode == "REFLECT":
        while not 0 <= at < size and size > 1:
            at = -at if at < 0 else 2 * (size - 1) - at
        return at if size > 1 else 0
    return at


def rows() -> Iterator[Row]:
    yield from _shuffles()
    yield from _slices()
    yield from _windows()
    yield from _joins()
    yield from _fills()
    yield from _gathers()
    yield from _scatters()


def _shuffles() -> Iterator[Row]:
    x = normal(2, 3, 4)
    yield row(Shuffle(first_transpose=(2, 0, 1)), [x], lambda x: x.transpose(2, 0, 1))
    yield row(Shuffle(reshape_dims=(0, -1)), [x], lambda x: x.reshape(2, -1))
    yield row(Shuffle(reshape_dims=(0, 0, 2, -1)), [x], lambda x: x.reshape(2, 3, 2, 2))
    yield row(
        Shuffle((1, 0, 2), (0, 2, -1), (2, 1, 0)), [x],
        lambda x: x.transpose(1, 0, 2).reshape(3, 2, 4).transpose(2, 1, 0),
    )  # fmt: skip
    yield row(Shuffle(reshape_dims=()), [normal(1, 1)], lambda x: x.reshape(()))
    yield row(Shuffle(reshape_dims=(1, 1)), [np.float32(3)], lambda x: x.reshape(1, 1))
    for dtype in DTYPES:
        y = whole(2, 6, low=0).astype(dtype)
        yield row(Shuffle((1, 0), (3, -1)), [y], lambda y: y.T.reshape(3, 4))
    yield row(Shuffle(), [x, np.int64([6, 4])], lambda x, s: x.reshape(s), symbolic=False)
    yield row(Shuffle(), [x, np.int64([6, -1])], lambda x, s: x.reshape(s), constants=[1])
    empty = np.zeros((0, 3), np.float32)
    yield row(Shuffle(), [empty, np.int64([3, 0])], lambda x, s: x.reshape(s), symbolic=False)
    yield row(
        Shuffle(second_transpose=(1, 0)), [x, np.int64([6, 4])],
        lambda x, s: x.reshape(s).T, symbolic=False,
    )  # fmt: skip


def _slice(layer: Slice, inputs: list[Any], **options: Any) -> Row:
    return row(layer, inputs, lambda *a: slice_reference(layer, *a), **options)


def _slices() -> Iterator[Row]:
    x = normal(5, 6)
    static = [
        Slice((0,), (1,), (3,), (1,)),
        Slice((1, 0), (5, 4), (6, 3), (-1, -2)),
        Slice((1,), (3,), (2,), (-3,)),
        Slice((0, 1), (0, 0), (5, 6), (1, 1)),
        Slice((1,), (2,), (4,), (0,)),
        Slice((0,), (2,), (0,), (1,)),
        Slice((0,), (0,), (0,), (2,)),
        Slice((0,), (0,), (0,), (-1,)),
    ]
    for layer in static:
        yield _slice(layer, [x])
    for dtype in DTYPES:
        yield _slice(Slice((1,), (4,), (2,), (-2,)), [whole(2, 5, low=0).astype(dtype)])
        yield _slice(Slice((0,), (0,), (3,), (0,)), [whole(1, 5, low=0).astype(dtype)])
    # Broadcasts, alone and beside a real slice.
    yield _slice(Slice((0, 2), (0, 0), (3, 4), (0, 0)), [normal(1, 2, 1)])
    yield _slice(Slice((0, 1), (0, 1), (3, 2), (0, 2)), [normal(1, 6)])
    yield _slice(Slice((0,), (0,), None, (0,)), [normal(1, 6), np.int64([4])], symbolic=False)
    yield _slice(
        Slice((1, 0), (0, 0), None, (0, 0)), [normal(1, 1), np.int64([4, 2])], symbolic=False
    )
    yield _slice(
        Slice((0, 1), (0, 1), None, (0, 2)), [normal(1, 6), np.int64([4, 2])], symbolic=False
    )
    # Start and shape that are known only when it runs.
    for stride, start, shape in [(1, 1, 4), (2, 1, 2), (-1, 4, 5), (-2, 3, 2), (3, 0, 0)]:
        first, count = np.int64([start]), np.int64([shape])
        yield _slice(Slice((0,), None, (shape,), (stride,)), [x, first], symbolic=False)
        yield _slice(Slice((0,), (start,), None, (stride,)), [x, count], symbolic=False)
        both = Slice((0,), None, None, (stride,))
        yield _slice(both, [x, first, count], symbolic=False)
        yield _slice(both, [x, first, count], constants=[1, 2])
    yield _slice(Slice((0, 1), None, (2, 3), (1, 0)), [x, np.int64([1, 4])], symbolic=False)


def _windows() -> Iterator[Row]:
    x = normal(3, 5)
    fill = np.float32(7)
    windows = [
        Slice((1,), (-2,), (8,), (1,), "FILL"),
        Slice((0, 1), (-1, 2), (5, 6), (1, 1), "FILL"),
        Slice((1,), (1,), (3,), (1,), "FILL"),
        Slice((1,), (-9,), (4,), (1,), "FILL"),
        Slice((1,), (7,), (2,), (1,), "FILL"),
        Slice((1,), (-3,), (5,), (2,), "FILL"),
        Slice((0, 1), (4, 8), (6, 12), (-1, -1), "FILL"),
    ]
    for layer in windows:
        yield _slice(layer, [x, fill], constants=[1])
    yield _slice(windows[0], [x, fill])
    dynamic = Slice((1, 0), None, None, (1, 1), "FILL")
    yield _slice(dynamic, [x, np.int64([-1, 1]), np.int64([8, 4]), fill], symbolic=False)
    strided = Slice((1,), None, None, (2,), "FILL")
    yield _slice(strided, [x, np.int64([-1]), np.int64([5]), fill], symbolic=False)
    for dtype in DTYPES:
        y = whole(2, 4, low=0).astype(dtype)
        for window in (windows[0], windows[5]):
            yield _slice(window, [y, np.ones((), dtype)], constants=[1])
    for mode in ("CLAMP", "REFLECT", "WRAP"):
        for start, shape, stride in [(-2, 9, 1), (-7, 20, 1), (1, 3, 1), (-3, 4, 3), (6, 9, -1)]:
            yield _slice(Slice((1,), (start,), (shape,), (stride,), mode), [x])  # type: ignore[arg-type]
        yield _slice(Slice((1, 0), (-1, -2), (7, 7), (1, 1), mode), [x])  # type: ignore[arg-type]
        yield _slice(
            Slice((1,), None, None, (1,), mode), [x, np.int64([-2]), np.int64([9])], symbolic=False
        )  # type: ignore[arg-type]
        yield _slice(Slice((0,), (-2,), (4,), (1,), mode), [normal(1, 2)])  # type: ignore[arg-type]


def _joins() -> Iterator[Row]:
    parts = [normal(2, 3), normal(2, 1), normal(2, 4)]
    yield row(Concatenation(1), parts, lambda *p: np.concatenate(p, 1))
    yield row(Concatenation(0), [normal(2, 3)], lambda x: x)
    for dtype in DTYPES:
        y = whole(2, 3, low=0).astype(dtype)
        yield row(Concatenation(0), [y, y], lambda a, b: np.concatenate([a, b]))
    for x in (normal(2, 3, 4), np.float32(1), normal(0, 2)):
        yield row(Shape(), [x], lambda x: np.int64(x.shape).reshape(x.ndim))


def _fills() -> Iterator[Row]:
    def linspace(shape: np.ndarray, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
        places = np.indices(shape).astype(np.float64)
        result = np.float64(alpha) + sum(
            p * np.float64(b) for p, b in zip(places, beta, strict=True)
        )
        return np.asarray(result).astype(alpha.dtype)

    for dtype in (np.float32, np.int32, np.int64):
        one = [np.int64([5]), np.ones((), dtype), np.array([2], dtype)]
        yield row(Fill(), one, linspace, constants=[1, 2], symbolic=False)
        two = [np.int64([2, 3]), np.array(4, dtype), np.array([10, 1], dtype)]
        yield row(Fill(), two, linspace, symbolic=False)
        flat = [np.int64([2, 3]), np.array(4, dtype), np.array([0, 0], dtype)]
        yield row(Fill(), flat, linspace, constants=[1, 2], symbolic=False)
    some = [np.int64([2, 3, 2]), np.float32(0.5), np.float32([0, -1.5, 0])]
    yield row(Fill(), some, linspace, constants=[2], symbolic=False)


def _gathers() -> Iterator[Row]:
    x = normal(3, 4, 5)
    for index in (np.int32, np.int64):
        places = whole(2, 2, low=0, high=2).astype(index)
        yield row(Gather(), [x, places], lambda x, i: np.take(x, i, 0))
        yield row(Gather(axis=2), [x, places], lambda x, i: np.take(x, i, 2))
        yield row(Gather(axis=1), [x, index(2)], lambda x, i: np.take(x, i, 1), constants=[1])
        element = whole(3, 2, 5, low=0, high=3).astype(index)
        yield row(Gather(1, "ELEMENT"), [x, element], lambda x, i: np.take_along_axis(x, i, 1))
        pairs = whole(2, 6, 2, low=0, high=2).astype(index)
        yield row(
            Gather(mode="ND"), [x, pairs], lambda x, i: x[i[..., 0], i[..., 1]], symbolic=False
        )
        yield row(
            Gather(mode="ND"), [x, pairs], lambda x, i: x[i[..., 0], i[..., 1]], constants=[1]
        )
        each = whole(3, 2, 1, low=0, high=3).astype(index)
        yield row(
            Gather(mode="ND", num_elementwise_dims=1), [x, each],
            lambda x, i: np.stack([a[b[:, 0]] for a, b in zip(x, i, strict=True)]), symbolic=False,
        )  # fmt: skip
        for axis in (1, 2):
            batch = whole(3, 2, 2, low=0, high=3).astype(index)
            yield row(
                Gather(axis, num_elementwise_dims=1), [x, batch],
                lambda x, i, axis=axis: np.stack(
                    [np.take(a, b, axis - 1) for a, b in zip(x, i, strict=True)]
                ),
            )  # fmt: skip
    for dtype in DTYPES:
        y = whole(4, 3, low=0).astype(dtype)
        yield row(Gather(), [y, np.int64([3, 0])], lambda y, i: y[i])
        yield row(
            Gather(0, "ELEMENT"),
            [y, np.int64([[3, 0, 1]])],
            lambda y, i: np.take_along_axis(y, i, 0),
        )


def _scatters() -> Iterator[Row]:
    def elements(x: np.ndarray, places: np.ndarray, updates: np.ndarray, axis: int) -> np.ndarray:
        result = x.copy()
        np.put_along_axis(result, places, updates, axis)
        return result

    def slices(x: np.ndarray, places: np.ndarray, updates: np.ndarray) -> np.ndarray:
        result = x.copy()
        for place in np.ndindex(*places.shape[:-1]):
            result[tuple(places[place])] = updates[place]
        return result

    for index in (np.int32, np.int64):
        places = np.array([[0, 3, 1], [2, 1, 0]], index)
        for dtype in DTYPES:
            x, updates = np.zeros((4, 3), dtype), whole(2, 3, low=1).astype(dtype)
            yield row(
                Scatter("ELEMENT", 0), [x, places, updates], lambda x, i, u: elements(x, i, u, 0)
            )
            rows_at = np.array([[3], [1]], index)
            yield row(Scatter("ND"), [x, rows_at, updates], slices)

    def one_hot(
        indices: np.ndarray, values: np.ndarray, depth: np.ndarray, axis: int
    ) -> np.ndarray:
        places = np.expand_dims(indices, axis)
        shape = [1] * places.ndim
        shape[axis] = int(depth)
        return np.where(places == np.arange(int(depth)).reshape(shape), values[1], values[0])

    for axis in (0, 1, -1):
        for dtype in DTYPES:
            values = np.array([0, 1], dtype)
            inputs = [np.int32([[0, 2, 9], [-1, 1, 3]]), values, np.int32(4)]
            yield row(
                OneHot(axis), inputs, lambda i, v, d, axis=axis: one_hot(i, v, d, axis),
                constants=[1, 2],
            )  # fmt: skip
