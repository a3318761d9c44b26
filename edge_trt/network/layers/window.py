# SPDX-License-Identifier: Apache-2.0
"""Pooling, resizing and grid sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_trt.network.layer import Layer, require
from edge_trt.network.types import UNKNOWN, Dim, DType, TensorType, map_dim

PaddingMode = Literal["EXPLICIT_ROUND_DOWN", "EXPLICIT_ROUND_UP"]
InterpolationMode = Literal["NEAREST", "LINEAR", "CUBIC"]


@dataclass(frozen=True, slots=True)
class Pooling(Layer):
    """Maximum or mean over windows of the last two or three dimensions.

    `padding_mode` says whether sizes round down or up. Rounding up follows TensorRT: the last
    window may start in the padding, where PyTorch drops it. Inputs: (input [N, C, *spatial]).
    """

    type: Literal["MAX", "AVERAGE"]
    window_size_nd: tuple[int, ...]
    stride_nd: tuple[int, ...]
    pre_padding: tuple[int, ...]
    post_padding: tuple[int, ...]
    padding_mode: PaddingMode = "EXPLICIT_ROUND_DOWN"
    average_count_excludes_padding: bool = True

    def infer(self, input: TensorType) -> TensorType:
        ndim = len(self.window_size_nd)
        require(ndim in (2, 3), f"windows have 2 or 3 dimensions, not {ndim}")
        require(input.rank == ndim + 2, f"input {input} has not rank {ndim + 2}")
        require(input.dtype.is_float or input.dtype is DType.INT8, f"pooling of {input.dtype}")
        spatial = [
            map_dim(lambda size, i=i: self._size(size, i), dim)
            for i, dim in enumerate(input.shape[2:])
        ]
        return input.with_shape((*input.shape[:2], *spatial))

    def _size(self, size: int, axis: int) -> int:
        padded = size + self.pre_padding[axis] + self.post_padding[axis]
        free = padded - self.window_size_nd[axis]
        require(free >= 0, f"a window of {self.window_size_nd[axis]} does not fit into {padded}")
        stride = self.stride_nd[axis]
        up = self.padding_mode == "EXPLICIT_ROUND_UP"
        return (free + stride - 1 if up else free) // stride + 1


@dataclass(frozen=True, slots=True)
class Resize(Layer):
    """Resampling of all dimensions to a shape or by factors.

    Exactly one of `shape` and `scales` is given (one entry per dimension), or neither and a second
    input holds the shape. `cubic_coeff` is used by CUBIC only. Inputs: (input, optional shape).
    """

    resize_mode: InterpolationMode
    shape: tuple[int, ...] | None = None
    scales: tuple[float, ...] | None = None
    coordinate_transformation: Literal["ALIGN_CORNERS", "ASYMMETRIC", "HALF_PIXEL"] = "HALF_PIXEL"
    nearest_rounding: Literal["HALF_UP", "HALF_DOWN", "FLOOR", "CEIL"] = "FLOOR"
    selector_for_single_pixel: Literal["FORMULA", "UPPER"] = "FORMULA"
    cubic_coeff: float = -0.75
    exclude_outside: bool = False

    def infer(self, input: TensorType, shape: TensorType | None = None) -> TensorType:
        require(input.dtype.is_float or input.dtype is DType.INT8, f"resizing of {input.dtype}")
        given = [self.shape is not None, self.scales is not None, shape is not None]
        require(sum(given) == 1, "Resize needs exactly one of shape, scales and a shape input")
        if shape is not None:
            return input.with_shape((UNKNOWN,) * input.rank)
        sizes: tuple[Dim, ...] = self.shape or ()
        if self.scales is not None:
            require(len(self.scales) == input.rank, f"{len(self.scales)} scales for {input}")
            pairs = zip(input.shape, self.scales, strict=True)
            sizes = tuple(d if s == 1 else map_dim(lambda n, s=s: int(n * s), d) for d, s in pairs)
        require(len(sizes) == input.rank, f"shape {list(sizes)} for {input}")
        resized = [i for i, d in enumerate(sizes) if d != input.shape[i]]
        depth = {"NEAREST": 8, "LINEAR": 3, "CUBIC": 2}[self.resize_mode]
        require(
            not resized or resized[0] >= input.rank - depth,
            f"{self.resize_mode} resizes the last {depth} dimensions, not dimension {resized[:1]}",
        )
        return input.with_shape(sizes)


@dataclass(frozen=True, slots=True)
class GridSample(Layer):
    """Samples [N, C, H, W] at the positions of [N, h, w, 2]. Inputs: (input, grid)."""

    interpolation_mode: InterpolationMode = "LINEAR"
    align_corners: bool = False
    sample_mode: Literal["FILL", "CLAMP", "REFLECT"] = "FILL"

    def infer(self, input: TensorType, grid: TensorType) -> TensorType:
        require(input.rank == 4 and grid.rank == 4, f"GridSample of {input} at {grid}")
        require(input.dtype.is_float, f"GridSample of {input.dtype}")
        require(input.dtype == grid.dtype, f"input is {input.dtype}, grid {grid.dtype}")
        return input.with_shape((*input.shape[:2], *grid.shape[1:3]))
