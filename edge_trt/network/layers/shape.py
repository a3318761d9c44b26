# SPDX-License-Identifier: Apache-2.0
"""Layers that move elements or speak of shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edge_trt.network.layer import Layer, require
from edge_trt.network.types import (
    UNKNOWN,
    Dim,
    DType,
    TensorType,
    merge_dim,
    merge_shapes,
    volume,
)


@dataclass(frozen=True, slots=True)
class Shuffle(Layer):
    """Transpose, reshape, transpose.

    In `reshape_dims` 0 copies the size of the (transposed) input at that place and one -1 is
    inferred, as with TensorRT's `zero_is_placeholder`. A second input, when given, holds the
    reshape's sizes instead, as int64; then 0 is a size. Inputs: (input, optional sizes [n]).
    """

    first_transpose: tuple[int, ...] | None = None
    reshape_dims: tuple[int, ...] | None = None
    second_transpose: tuple[int, ...] | None = None

    def infer(self, input: TensorType, sizes: TensorType | None = None) -> TensorType:
        shape = _permute(input.shape, self.first_transpose)
        if sizes is not None:
            require(self.reshape_dims is None, "reshape_dims and a sizes input exclude each other")
            require(sizes.rank == 1 and isinstance(sizes.shape[0], int), f"sizes are {sizes}")
            shape = (UNKNOWN,) * int(sizes.shape[0])
        elif self.reshape_dims is not None:
            shape = _reshape(shape, self.reshape_dims)
        return input.with_shape(_permute(shape, self.second_transpose))


@dataclass(frozen=True, slots=True)
class Slice(Layer):
    """Strided window along `axes`; other axes are kept whole.

    `start`, `shape` and `stride` have one entry per axis. `start` or `shape` may be None: then it
    is an int64 input. Outside the bounds `mode` decides; FILL takes the value from a last input.
    Inputs: (input, start if None, shape if None, fill value 0-d if mode is FILL).
    """

    axes: tuple[int, ...]
    start: tuple[int, ...] | None
    shape: tuple[int, ...] | None
    stride: tuple[int, ...]
    mode: Literal["STRICT_BOUNDS", "FILL", "CLAMP", "REFLECT", "WRAP"] = "STRICT_BOUNDS"

    def infer(self, input: TensorType, *extra: TensorType) -> TensorType:
        needed = (self.start is None) + (self.shape is None) + (self.mode == "FILL")
        require(len(extra) == needed, f"Slice needs {needed} more inputs, not {len(extra)}")
        if self.mode == "FILL":
            require(extra[-1].dtype == input.dtype, f"fill is {extra[-1].dtype}, not {input}")
        lengths = {len(v) for v in (self.start, self.shape, self.stride) if v is not None}
        require(lengths == {len(self.axes)}, f"{self} has fields of different lengths")
        require(all(0 <= a < input.rank for a in self.axes), f"axes {self.axes} of {input}")
        result = [*input.shape]
        for i, axis in enumerate(self.axes):
            result[axis] = UNKNOWN if self.shape is None else self._size(i, input.shape[axis])
        return input.with_shape(result)

    def _size(self, i: int, dim: Dim) -> int:
        assert self.shape is not None
        size, stride = self.shape[i], self.stride[i]
        if self.mode == "STRICT_BOUNDS" and self.start is not None and isinstance(dim, int):
            first, last = self.start[i], self.start[i] + (size - 1) * stride
            inside = size == 0 or (0 <= first < dim and 0 <= last < dim)
            require(inside, f"elements {first} to {last} of axis {self.axes[i]} with size {dim}")
        return size


@dataclass(frozen=True, slots=True)
class Concatenation(Layer):
    """Joins tensors along `axis`. Inputs: (one or more, of one type and rank)."""

    axis: int

    def infer(self, *inputs: TensorType) -> TensorType:
        require(bool(inputs), "Concatenation needs an input")
        require(0 <= self.axis < inputs[0].rank, f"axis {self.axis} of {inputs[0]}")
        result: tuple[Dim, ...] = _without(inputs[0].shape, self.axis)
        total: Dim = 0
        for input in inputs:
            require(input.dtype == inputs[0].dtype, f"{input.dtype} beside {inputs[0].dtype}")
            rest = _without(input.shape, self.axis)
            result = merge_shapes(result, rest, "Concatenation, other axes")
            size = input.shape[self.axis]
            total = total + size if isinstance(total, int) and isinstance(size, int) else UNKNOWN
        if len(inputs) == 1:
            total = inputs[0].shape[self.axis]
        return inputs[0].with_shape((*result[: self.axis], total, *result[self.axis :]))


@dataclass(frozen=True, slots=True)
class Shape(Layer):
    """The sizes of a tensor as int64. Inputs: (input)."""

    def infer(self, input: TensorType) -> TensorType:
        return TensorType(DType.INT64, (input.rank,))


@dataclass(frozen=True, slots=True)
class Fill(Layer):
    """A tensor counting up (LINSPACE), of a shape known only when it runs.

    Inputs: (shape [n] int64, alpha 0-d: first value, beta [n]: step per dimension).
    """

    operation: Literal["LINSPACE"] = "LINSPACE"

    def infer(self, shape: TensorType, alpha: TensorType, beta: TensorType) -> TensorType:
        require(shape.rank == 1 and isinstance(shape.shape[0], int), f"shape is {shape}")
        require(alpha.rank == 0 and alpha.dtype == beta.dtype, f"alpha {alpha}, beta {beta}")
        known = alpha.dtype in (DType.FLOAT32, DType.INT32, DType.INT64)
        require(known, f"LINSPACE counts in float32, int32 or int64, not {alpha.dtype}")
        return alpha.with_shape((UNKNOWN,) * int(shape.shape[0]))


def _without(shape: tuple[Dim, ...], axis: int) -> tuple[Dim, ...]:
    return shape[:axis] + shape[axis + 1 :]


def _permute(shape: tuple[Dim, ...], order: tuple[int, ...] | None) -> tuple[Dim, ...]:
    if order is None:
        return shape
    require(sorted(order) == list(range(len(shape))), f"transpose {order} of {list(shape)}")
    return tuple(shape[axis] for axis in order)


def _reshape(shape: tuple[Dim, ...], sizes: Sequence[int]) -> tuple[Dim, ...]:
    require(list(sizes).count(-1) <= 1, f"reshape {list(sizes)} has several -1")
    result: list[Dim] = []
    for axis, size in enumerate(sizes):
        require(size != 0 or axis < len(shape), f"reshape {list(sizes)} of {list(shape)}")
        result.append(shape[axis] if size == 0 else UNKNOWN if size == -1 else size)
    if -1 in sizes:
        _fill_in(shape, result, list(sizes).index(-1), list(sizes))
    before, after = volume(shape), volume(result)
    require(
        before == after or not (isinstance(before, int) and isinstance(after, int)),
        f"reshape {list(sizes)} of {list(shape)}: {before} elements into {after}",
    )
    return tuple(result)


def _fill_in(shape: tuple[Dim, ...], result: list[Dim], place: int, sizes: list[int]) -> None:
    """Infers the -1, cancelling symbolic sizes that are copied unchanged."""
    before, after = list(shape), [d for i, d in enumerate(result) if i != place]
    for dim in [d for d in after if isinstance(d, str)]:
        if dim == UNKNOWN or dim not in before:
            return
        before.remove(dim)
        after.remove(dim)
    names = [d for d in before if isinstance(d, str)]
    total, rest = volume([d for d in before if isinstance(d, int)]), volume(after)
    assert isinstance(total, int)
    assert isinstance(rest, int)
    if not names:
        require(rest > 0 and total % rest == 0, f"reshape {sizes} of {list(shape)}")
        result[place] = total // rest
    elif len(names) == 1 and total == rest:
        result[place] = merge_dim(names[0], UNKNOWN)


__all__ = ["Concatenation", "Fill", "Shape", "Shuffle", "Slice"]
