# SPDX-License-Identifier: Apache-2.0
"""Reductions, scans and top-k."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_trt.network.layer import Layer, require
from edge_trt.network.types import UNKNOWN, DType, TensorType

MOST_TOP = 3840
"""TensorRT's limit of k."""


@dataclass(frozen=True, slots=True)
class Reduce(Layer):
    """`op` over `axes`. Inputs: (input)."""

    op: Literal["SUM", "PROD", "MAX", "MIN", "AVG"]
    axes: tuple[int, ...]
    keep_dims: bool = False

    def infer(self, input: TensorType) -> TensorType:
        require(bool(self.axes), "Reduce needs an axis")
        require(all(0 <= a < input.rank for a in self.axes), f"axes {self.axes} of {input}")
        require(input.dtype is not DType.BOOL, "Reduce does not take bool")
        wraps = input.dtype is DType.UINT8 and self.op not in ("MAX", "MIN")
        require(not wraps, f"{self.op} of uint8 would leave 0..255: reduce int32")
        kept = [
            1 if axis in self.axes else dim
            for axis, dim in enumerate(input.shape)
            if self.keep_dims or axis not in self.axes
        ]
        return input.with_shape(kept)


@dataclass(frozen=True, slots=True)
class TopK(Layer):
    """The k largest or smallest along one axis, sorted: values and int32 indices.

    A k of 0 stands for one that is computed: a 0-d int32 tensor.
    Inputs: (input), of rank 2 or more, or (input, k).
    """

    op: Literal["MAX", "MIN"]
    k: int
    axis: int

    def infer(self, input: TensorType, *count: TensorType) -> tuple[TensorType, TensorType]:
        require(input.dtype is not DType.BOOL, "TopK does not take bool")
        require(input.rank >= 2, f"TopK needs two dimensions, not {input}")
        require(0 <= self.axis < input.rank, f"axis {self.axis} of {input}")
        require(self.k <= MOST_TOP, f"TopK gives at most {MOST_TOP} elements, not {self.k}")
        size = input.shape[self.axis]
        require(not isinstance(size, int) or self.k <= size, f"{self.k} of {size} elements")
        require(len(count) == (self.k == 0), f"TopK of {self.k} with {len(count)} computed k")
        scalar = TensorType(DType.INT32, ())
        require(all(k == scalar for k in count), f"k is {scalar}, not {count}")
        shape = [*input.shape]
        shape[self.axis] = self.k or UNKNOWN
        values = input.with_shape(shape)
        return values, values.with_dtype(DType.INT32)


@dataclass(frozen=True, slots=True)
class Cumulative(Layer):
    """Running sum along one axis. TensorRT has the layer from 10.5 on. Inputs: (input)."""

    axis: int
    exclusive: bool = False
    reverse: bool = False

    def infer(self, input: TensorType) -> TensorType:
        require(0 <= self.axis < input.rank, f"axis {self.axis} of {input}")
        summable = input.dtype.is_float or input.dtype in (DType.INT32, DType.INT64)
        require(summable, f"Cumulative needs float, int32 or int64, not {input}")
        return input
