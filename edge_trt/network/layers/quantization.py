# SPDX-License-Identifier: Apache-2.0
"""Explicit quantization."""

from __future__ import annotations

from dataclasses import dataclass

from edge_trt.network.layer import Layer, require
from edge_trt.network.types import DType, TensorType


@dataclass(frozen=True, slots=True)
class Quantize(Layer):
    """round_half_even(x / scale) saturated to int8, symmetric.

    Inputs: (input, scale): scale is 0-d, or 1-d along `axis`.
    """

    axis: int = -1

    def infer(self, input: TensorType, scale: TensorType) -> TensorType:
        _check(input.dtype.is_float, input, scale, self.axis)
        return input.with_dtype(DType.INT8)


@dataclass(frozen=True, slots=True)
class Dequantize(Layer):
    """q * scale, in the type of the scale unless `to_type` says another.

    Inputs: (input int8, scale 0-d or 1-d along `axis`).
    """

    axis: int = -1
    to_type: DType | None = None

    def infer(self, input: TensorType, scale: TensorType) -> TensorType:
        _check(input.dtype is DType.INT8, input, scale, self.axis)
        return input.with_dtype(self.to_type or scale.dtype)


def _check(fits: bool, input: TensorType, scale: TensorType, axis: int) -> None:
    require(fits, f"input is {input.dtype}")
    require(scale.rank in (0, 1) and scale.dtype.is_float, f"scale is {scale}")
    if scale.rank == 1:
        require(0 <= axis < input.rank, f"a scale per channel needs an axis of {input}")
        require(input.shape[axis] == scale.shape[0], f"{scale} along axis {axis} of {input}")
