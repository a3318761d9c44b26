# SPDX-License-Identifier: Apache-2.0
"""Random slices, shuffles and broadcasts against the semantics written out element by element."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_trt.engines.onnx import CpuRunner
from edge_trt.network.graph import Network
from edge_trt.network.layer import Layer
from edge_trt.network.layers import ElementWise, Select, Shuffle, Slice
from edge_trt.network.types import Dim, DType, TensorType
from tests.support.layer_rows.shape import slice_reference


def _run(layer: Layer, *inputs: Any, symbolic: bool, constants: tuple[int, ...] = ()) -> np.ndarray:
    net = Network("net")
    tensors = []
    for i, value in enumerate(inputs):
        array = np.asarray(value)
        shape: tuple[Dim, ...] = array.shape
        if symbolic:
            shape = tuple(d if d == 1 else f"n{d}" for d in array.shape)
        if i in constants:
            tensors.append(net.constant(array))
        else:
            tensors.append(net.input(f"x{i}", TensorType(DType.of(array), shape)))
    output = net.add(layer, *tensors)
    net.mark_output(output, "y")
    net.verify()
    feeds = {f"x{i}": np.asarray(v) for i, v in enumerate(inputs)}
    result = CpuRunner(net, threads=1).run(feeds)["y"]
    for dim, size in zip(output.shape, result.shape, strict=True):
        assert dim == "?" or dim in (size, f"n{size}")
    return result


def _counted(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)


@st.composite
def strict_slices(draw: st.DrawFn) -> tuple[np.ndarray, list[int], list[int], list[int], list[int]]:
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    axes = draw(st.permutations(range(len(shape))))[: draw(st.integers(1, len(shape)))]
    start, count, stride = [], [], []
    for axis in axes:
        size = shape[axis]
        step = draw(st.integers(-3, 3))
        first = draw(st.integers(0, size - 1))
        room = first if step < 0 else size - 1 - first
        most = 4 if step == 0 else room // abs(step) + 1
        start.append(first)
        count.append(draw(st.integers(0, most)))
        stride.append(step)
    return _counted(shape), list(axes), start, count, stride


@given(strict_slices(), st.booleans(), st.booleans(), st.booleans())
def test_slices_inside_the_bounds(
    drawn: tuple[Any, ...], symbolic: bool, start_is_input: bool, shape_is_input: bool
) -> None:
    x, axes, start, shape, stride = drawn
    layer = Slice(
        tuple(axes),
        None if start_is_input else tuple(start),
        None if shape_is_input else tuple(shape),
        tuple(stride),
    )
    extra = [np.int64(start)] * start_is_input + [np.int64(shape)] * shape_is_input
    expected = slice_reference(layer, x, *extra)
    # Shape vectors keep their length, which the layer has to know.
    symbolic = symbolic and not extra
    np.testing.assert_array_equal(_run(layer, x, *extra, symbolic=symbolic), expected)


@given(
    st.integers(1, 5), st.integers(1, 3), st.integers(-7, 8), st.integers(0, 9), st.integers(-3, 3),
    st.sampled_from(["FILL", "CLAMP", "REFLECT", "WRAP"]), st.booleans(), st.booleans(),
)  # fmt: skip
def test_slices_beyond_the_bounds(
    size: int, rows: int, start: int, count: int, stride: int, mode: Any, symbolic: bool,
    given_as_inputs: bool,
) -> None:  # fmt: skip
    x = _counted((rows, size))
    fill = [np.float32(-1)] if mode == "FILL" else []
    if given_as_inputs:
        layer = Slice((1,), None, None, (stride,), mode)
        extra = [np.int64([start]), np.int64([count]), *fill]
        expected = slice_reference(layer, x, *extra)
        np.testing.assert_array_equal(_run(layer, x, *extra, symbolic=False), expected)
        return
    layer = Slice((1,), (start,), (count,), (stride,), mode)
    expected = slice_reference(layer, x, *fill)
    found = _run(layer, x, *fill, symbolic=symbolic, constants=(1,))
    np.testing.assert_array_equal(found, expected)


@st.composite
def shuffles(draw: st.DrawFn) -> tuple[np.ndarray, Shuffle]:
    shape = draw(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=4))
    first = draw(st.none() | st.permutations(range(len(shape))).map(tuple))
    moved = [shape[a] for a in first] if first is not None else shape
    sizes = None
    rank = len(shape)
    if draw(st.booleans()):
        cut = draw(st.integers(0, len(moved)))
        copied = draw(st.booleans())
        sizes = (*([0] * cut if copied else moved[:cut]), -1)
        rank = cut + 1
    second = draw(st.none() | st.permutations(range(rank)).map(tuple))
    return _counted(tuple(shape)), Shuffle(first, sizes, second)


@given(shuffles(), st.booleans())
def test_shuffles(drawn: tuple[np.ndarray, Shuffle], symbolic: bool) -> None:
    x, layer = drawn
    y = x if layer.first_transpose is None else x.transpose(layer.first_transpose)
    if layer.reshape_dims is not None:
        y = y.reshape([y.shape[i] if d == 0 else d for i, d in enumerate(layer.reshape_dims)])
    if layer.second_transpose is not None:
        y = y.transpose(layer.second_transpose)
    np.testing.assert_array_equal(_run(layer, x, symbolic=symbolic), y)


@st.composite
def broadcast_shapes(draw: st.DrawFn) -> list[tuple[int, ...]]:
    full = draw(st.lists(st.integers(1, 4), min_size=0, max_size=3))
    keep = st.lists(st.booleans(), min_size=len(full), max_size=len(full))
    masks = [draw(keep) for _ in range(3)]
    return [tuple(d if m else 1 for d, m in zip(full, mask, strict=True)) for mask in masks]


@given(broadcast_shapes(), st.booleans())
def test_broadcasts(shapes: list[tuple[int, ...]], symbolic: bool) -> None:
    a, b, c = (_counted(s) + 10 * i for i, s in enumerate(shapes))
    np.testing.assert_array_equal(_run(ElementWise("SUM"), a, b, symbolic=symbolic), a + b)
    found = _run(Select(), c % 2 == 0, a, b, symbolic=symbolic)
    np.testing.assert_array_equal(found, np.where(c % 2 == 0, a, b))


def test_floor_division_of_every_pair_of_signs() -> None:
    pairs = np.array(list(itertools.product(range(-7, 8), [-3, -2, -1, 1, 2, 3])), np.int64)
    found = _run(ElementWise("FLOOR_DIV"), pairs[:, 0], pairs[:, 1], symbolic=False)
    np.testing.assert_array_equal(found, [a // b for a, b in pairs.tolist()])
