# SPDX-License-Identifier: Apache-2.0
"""Constants, sizes and reshapes: the part of the builder that knows about symbolic sizes.

A `Size` is a number, or a 0-d int64 tensor that the network computes when it runs. With static
shapes there are only numbers and no shape layer is added. A symbolic size has one name wherever
it occurs, so it is computed once in a network, from the first tensor that has it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edge_trt.network.graph import Network, NetworkError, Tensor, check_type
from edge_trt.network.layers import Concatenation, ElementWise, Gather, Shape, Shuffle
from edge_trt.network.layers.elementwise import ElementWiseOp
from edge_trt.network.types import UNKNOWN, Dim, DType

Size = int | Tensor
"""A number, or a 0-d int64 tensor of the network."""

ARITHMETIC: dict[ElementWiseOp, Callable[[int, int], int]] = {
    "SUM": operator.add,
    "SUB": operator.sub,
    "PROD": operator.mul,
    "FLOOR_DIV": lambda a, b: a // b,
    "MAX": max,
    "MIN": min,
}
NEUTRAL: dict[ElementWiseOp, int] = {"SUM": 0, "SUB": 0, "PROD": 1, "FLOOR_DIV": 1}


class Sizes:
    """Layer-adding methods for sizes and shapes, over one `Network`."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._shapes: dict[Tensor, Tensor] = {}
        self._sizes: dict[str | tuple[Tensor, int], Tensor] = {}
        self._names: dict[Tensor, str] = {}
        self._wanted: dict[Tensor, str] = {}
        self._downward: dict[Tensor, tuple[int, Tensor]] = {}

    def constant(
        self, value: Any, dtype: DType | str | None = None, name: str = "constant"
    ) -> Tensor:
        """A constant; numbers become 0-d tensors, int64 and float32 unless `dtype` says else.

        Raises:
            NetworkError: the type is none that a network tensor can have.
        """
        array = np.asarray(value)
        dtype = None if dtype is None else _type_of(dtype)
        if dtype is None and array.dtype == np.float64 and not isinstance(value, np.ndarray):
            dtype = DType.FLOAT32
        return self.network.constant(array if dtype is None else in_type(array, dtype), name)

    def derived(self, x: Tensor, array: np.ndarray) -> Tensor:
        """A constant computed from the constant `x`, whose name it gets if x is not used itself."""
        result = self.network.constant(array, x.name)
        self._wanted[result] = self._wanted.get(x, x.name)
        return result

    def name_constants(self) -> None:
        """Gives derived constants the names they want, once it is known what is used."""
        constants = list(self.network.constants())
        taken = {tensor.name for tensor in constants}
        for tensor in constants:
            wanted = self._wanted.get(tensor, tensor.name)
            if wanted not in taken:
                tensor.name = wanted
                taken.add(wanted)

    def as_tensor(self, value: Tensor | bool | int | float) -> Tensor:
        """A tensor as it is, a number as a 0-d constant."""
        return value if isinstance(value, Tensor) else self.constant(value)

    # -- sizes -------------------------------------------------------------------------------

    def size(self, x: Tensor, axis: int) -> Size:
        """Size of one axis: a number when it is known."""
        dim = x.shape[axis]
        if isinstance(dim, int):
            return dim
        axis %= x.rank
        key = (x, axis) if dim == UNKNOWN else dim
        if key not in self._sizes:
            if x not in self._shapes:
                self._shapes[x] = self.network.add(Shape(), x)
            place = self.constant(axis)
            self.name_size(self.network.add(Gather(0), self._shapes[x], place), dim, key)
        return self._sizes[key]

    def sizes(self, x: Tensor) -> list[Size]:
        """All sizes of `x`."""
        return [self.size(x, axis) for axis in range(x.rank)]

    def name_size(
        self, size: Tensor, dim: str, key: str | tuple[Tensor, int] | None = None
    ) -> None:
        """Remembers that a 0-d tensor of the network holds the symbolic size `dim`."""
        if dim != UNKNOWN:
            self._names.setdefault(size, dim)
        self._sizes.setdefault(key or dim, size)

    def dims(self, sizes: Sequence[Size]) -> tuple[Dim, ...]:
        """Sizes as a shape: numbers, names of symbolic sizes, or unknown."""
        return tuple(s if isinstance(s, int) else self._names.get(s, UNKNOWN) for s in sizes)

    def shape_tensor(self, sizes: Sequence[Size]) -> Tensor:
        """Sizes as one int64 vector."""
        if not any(isinstance(s, Tensor) for s in sizes):
            return self.constant(np.array(sizes, np.int64), name="sizes")
        one = Shuffle(reshape_dims=(1,))
        parts = [
            self.network.add(one, s) if isinstance(s, Tensor) else self.constant([s]) for s in sizes
        ]
        return self.network.add(Concatenation(0), *parts) if len(parts) > 1 else parts[0]

    def calculate(self, op: ElementWiseOp, a: Size, b: Size) -> Size:
        """Integer arithmetic on sizes (SUM, SUB, PROD, FLOOR_DIV, MAX, MIN)."""
        if isinstance(a, int) and isinstance(b, int):
            return ARITHMETIC[op](a, b)
        if isinstance(b, int) and NEUTRAL.get(op) == b:
            return a
        if isinstance(a, int) and op in ("SUM", "PROD") and NEUTRAL[op] == a:
            return b
        result = self.network.add(ElementWise(op), self.as_tensor(a), self.as_tensor(b))
        if op == "SUB" and isinstance(a, int) and isinstance(b, Tensor):
            self._downward[result] = (a, b)
        elif op in ("SUM", "SUB") and a in self._downward and isinstance(b, int):
            start, size = self._downward[a]
            self._downward[result] = (ARITHMETIC[op](start, b), size)
        return result

    def product(self, sizes: Sequence[Size]) -> Size:
        """The product of sizes."""
        total: Size = 1
        for size in sizes:
            total = self.calculate("PROD", total, size)
        return total

    def modulo(self, a: Size, b: Size) -> Size:
        """`a % b` as Python has it: with the sign of b."""
        if isinstance(b, int) and b > 0 and isinstance(a, Tensor) and a in self._downward:
            return self._up_to_multiple(*self._downward[a], b)
        return self.calculate(
            "SUB", a, self.calculate("PROD", self.calculate("FLOOR_DIV", a, b), b)
        )

    def _up_to_multiple(self, start: int, size: Tensor, step: int) -> Size:
        """`(start - size) % step`, with no number below 0 on the way.

        TensorRT takes the quotient of a negative number for anything, and the size that is
        padded by its rest for one that may be negative.
        """
        start %= step
        above = self.calculate("SUM", size, step - 1 - start)
        whole = self.calculate("PROD", self.calculate("FLOOR_DIV", above, step), step)
        return self.calculate("SUB", self.calculate("SUM", whole, start), size)

    # -- reshapes ----------------------------------------------------------------------------

    def refine(self, x: Tensor, dims: Sequence[Dim]) -> Tensor:
        """`x` with what the caller knows of its shape.

        Raises:
            NetworkError: that contradicts what the layer infers.
        """
        x.type = check_type(x.type.with_shape(dims), x.type, x.name)
        return x

    def reshape(self, x: Tensor, sizes: Sequence[Size]) -> Tensor:
        """`x.reshape(sizes)`; one size may be -1. Sizes known only at run time are fine."""
        dims = self.dims(sizes)
        if x.data is not None and not any(isinstance(s, Tensor) for s in sizes):
            return self.derived(x, x.data.reshape(dims))  # type: ignore[arg-type]
        if dims == x.shape and UNKNOWN not in dims:
            return x
        fixed = self._fixed_reshape(x, sizes, dims)
        if fixed is not None:
            return self.refine(self.network.add(Shuffle(reshape_dims=fixed), x), _known(dims))
        if -1 in dims:
            sizes = self._without_inferred(x, sizes)
        return self.refine(
            self.network.add(Shuffle(), x, self.shape_tensor(sizes)), self.dims(sizes)
        )

    def _fixed_reshape(
        self, x: Tensor, sizes: Sequence[Size], dims: tuple[Dim, ...]
    ) -> tuple[int, ...] | None:
        """Sizes as Shuffle's attribute (0 copies, one -1), or None if that can't say it."""
        if 0 in dims:
            return None
        result: list[int] = []
        for axis, (size, dim) in enumerate(zip(sizes, dims, strict=True)):
            if isinstance(dim, int):
                result.append(dim)
            else:
                inside = axis < x.rank
                copied = inside and dim == x.shape[axis] != UNKNOWN
                copied = copied or (inside and self._sizes.get((x, axis)) is size)
                result.append(0 if copied else -1)
        return tuple(result) if result.count(-1) <= 1 else None

    def _without_inferred(self, x: Tensor, sizes: Sequence[Size]) -> list[Size]:
        """Replaces the -1, which a tensor of sizes can't hold beside unknown ones."""
        left, given = self.sizes(x), [s for s in sizes if isinstance(s, Tensor) or s != -1]
        for size in tuple(given):  # what stays may be 0, and nothing is divided by that
            if size in left:
                left.remove(size)
                given.remove(size)
        inferred = self.calculate("FLOOR_DIV", self.product(left), self.product(given))
        return [inferred if isinstance(s, int) and s == -1 else s for s in sizes]


def _known(dims: tuple[Dim, ...]) -> list[Dim]:
    """A shape with the -1 of a reshape as unknown."""
    return [UNKNOWN if d == -1 else d for d in dims]


def in_type(array: np.ndarray, dtype: DType) -> np.ndarray:
    """An array in another element type."""
    with np.errstate(over="ignore"):  # -1e30 as a mask is -inf in float16, as in torch
        return array.astype(dtype.numpy, copy=False)


def _type_of(name: str) -> DType:
    try:
        return DType(name)
    except ValueError:
        reason = f"a constant has no type {name!r}: use one of {', '.join(DType)}"
        raise NetworkError(reason) from None
