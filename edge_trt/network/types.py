# SPDX-License-Identifier: Apache-2.0
"""Tensor types: data types, dimensions that may be symbolic, and their small algebra."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ml_dtypes
import numpy as np

UNKNOWN = "?"
"""A dimension of which nothing is known at compile time."""

Dim = int | str
"""A size: a number, or the text of a symbolic one (`"batch"`, `"batch*49"`, `"?"`)."""

Shape = tuple[Dim, ...]


class DType(str, enum.Enum):
    """Element types a network tensor may have. Values are the names used in a manifest."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"
    UINT8 = "uint8"
    INT32 = "int32"
    INT64 = "int64"
    BOOL = "bool"

    @property
    def numpy(self) -> np.dtype:
        """The numpy dtype that stores one element."""
        return np.dtype(ml_dtypes.bfloat16 if self is DType.BFLOAT16 else self.value)

    @property
    def is_float(self) -> bool:
        """True for the floating-point types."""
        return self in (DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16)

    @property
    def is_integer(self) -> bool:
        """True for the integer types; bool is neither integer nor float."""
        return self in (DType.INT8, DType.UINT8, DType.INT32, DType.INT64)

    @classmethod
    def of(cls, array: np.ndarray) -> DType:
        """The type of a numpy array's elements.

        Raises:
            ValueError: the array has a type no network tensor can have (float64, strings).
        """
        return cls(array.dtype.name)

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type and shape of a tensor. `str` gives `float32[batch, 3, 224, 224]`."""

    dtype: DType
    shape: Shape

    @property
    def rank(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def is_static(self) -> bool:
        """True when every dimension is a number."""
        return all(isinstance(d, int) for d in self.shape)

    def with_shape(self, shape: Sequence[Dim]) -> TensorType:
        """The same element type with another shape."""
        return TensorType(self.dtype, tuple(shape))

    def with_dtype(self, dtype: DType) -> TensorType:
        """The same shape with another element type."""
        return TensorType(dtype, self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


class ShapeError(ValueError):
    """Input types that a layer does not accept; the message says which and why."""


def map_dim(function: Callable[[int], int], dim: Dim) -> Dim:
    """`function(dim)` for a number; a symbolic size becomes unknown."""
    return function(dim) if isinstance(dim, int) else UNKNOWN


def same_dim(a: Dim, b: Dim) -> bool:
    """True unless both are numbers and differ: what is symbolic is checked when it runs."""
    return a == b or not (isinstance(a, int) and isinstance(b, int))


def merge_dim(a: Dim, b: Dim) -> Dim:
    """The more informative of two descriptions of one size (number, name, unknown)."""
    if isinstance(a, int) or b == UNKNOWN:
        return a
    return b if isinstance(b, int) or a == UNKNOWN else a


def merge_shapes(a: Shape, b: Shape, what: str) -> Shape:
    """Two descriptions of one shape, dimension by dimension.

    Raises:
        ShapeError: ranks or numbers differ; `what` opens the message.
    """
    if len(a) != len(b) or not all(map(same_dim, a, b)):
        raise ShapeError(f"{what}: shapes {list(a)} and {list(b)} differ")
    return tuple(map(merge_dim, a, b))


def broadcast_dim(a: Dim, b: Dim, what: str) -> Dim:
    """The size of one dimension under TensorRT's broadcast (equal, or one of them 1)."""
    if a == b or b == 1:
        return a
    if a == 1:
        return b
    if isinstance(a, int) and isinstance(b, int):
        raise ShapeError(f"{what}: sizes {a} and {b} do not broadcast")
    return a if isinstance(a, int) else b if isinstance(b, int) else UNKNOWN


def broadcast_shapes(a: Shape, b: Shape, what: str) -> Shape:
    """The broadcast of two shapes of equal rank (TensorRT does not prepend ones)."""
    if len(a) != len(b):
        raise ShapeError(f"{what}: ranks differ, {list(a)} against {list(b)}")
    return tuple(broadcast_dim(x, y, what) for x, y in zip(a, b, strict=True))


def volume(shape: Sequence[Dim]) -> Dim:
    """The number of elements, unknown as soon as one size is symbolic."""
    total = 1
    for dim in shape:
        if not isinstance(dim, int):
            return UNKNOWN
        total *= dim
    return total
