# SPDX-License-Identifier: Apache-2.0
"""Normalization layers."""

from __future__ import annotations

from dataclasses import dataclass

from edge_trt.network.layer import Layer, require
from edge_trt.network.types import TensorType, broadcast_shapes


@dataclass(frozen=True, slots=True)
class SoftMax(Layer):
    """Softmax along one axis. Inputs: (input)."""

    axis: int

    def infer(self, input: TensorType) -> TensorType:
        require(input.dtype.is_float, f"softmax of {input}")
        require(input.rank >= 2, f"SoftMax needs two dimensions, not {input}")
        require(0 <= self.axis < input.rank, f"axis {self.axis} of {input}")
        return input


@dataclass(frozen=True, slots=True)
class Normalization(Layer):
    """(x - mean) / sqrt(variance + epsilon) * scale + bias over `axes`.

    With `num_groups` above 1, channels (dimension 1) are normalized in groups, `axes` are the
    spatial ones, and scale and bias are per channel, [1, C, 1, ...], or per group, [1, groups, 1,
    ...]. Inputs: (input, scale, bias): all of one type and rank, scale and bias broadcastable to
    the input. With `num_groups` 1 and axes (1, 2, 3) scale is [1, C, 1, 1].
    """

    axes: tuple[int, ...]
    epsilon: float = 1e-5
    num_groups: int = 1

    def infer(self, input: TensorType, scale: TensorType, bias: TensorType) -> TensorType:
        require(input.dtype.is_float, f"normalization of {input}")
        require(
            scale.dtype == input.dtype == bias.dtype,
            f"types differ: input {input.dtype}, scale {scale.dtype}, bias {bias.dtype}",
        )
        require(all(0 <= a < input.rank for a in self.axes), f"axes {self.axes} of {input}")
        if self.num_groups > 1:
            self._check_groups(input, scale, bias)
            return input
        for other in (scale, bias):
            broadcast_shapes(input.shape, other.shape, "Normalization")
        return input

    def _check_groups(self, input: TensorType, scale: TensorType, bias: TensorType) -> None:
        spatial = tuple(range(2, input.rank))
        require(self.axes == spatial, f"groups are normalized over axes {spatial}, not {self.axes}")
        ones = (1,) * len(spatial)
        for other in (scale, bias):
            fits = any(other.shape == (1, n, *ones) for n in (self.num_groups, input.shape[1]))
            require(fits, f"{self.num_groups} groups of {input} do not go with {other}")


@dataclass(frozen=True, slots=True)
class LRN(Layer):
    """Local response normalization across channels: x / (k + alpha / window * sum)^beta.

    Inputs: (input [N, C, H, W]).
    """

    window_size: int
    alpha: float
    beta: float
    k: float

    def infer(self, input: TensorType) -> TensorType:
        require(input.dtype.is_float and input.rank == 4, f"LRN of {input}")
        require(self.window_size % 2 == 1, f"window size {self.window_size} is even")
        require(1 <= self.window_size <= 15, f"window size {self.window_size} is not in 1..15")
        return input
