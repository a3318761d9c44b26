# SPDX-License-Identifier: Apache-2.0
"""Convolution and deconvolution in two and three dimensions."""

from __future__ import annotations

from dataclasses import dataclass

from edge_trt.network.layer import Layer, require
from edge_trt.network.types import Dim, TensorType, map_dim, same_dim


@dataclass(frozen=True, slots=True)
class Convolution(Layer):
    """Grouped, dilated cross-correlation over the last two or three dimensions.

    Inputs: (input [N, C, *spatial], kernel [K, C / groups, *window], optional bias [K]).
    """

    stride_nd: tuple[int, ...]
    pre_padding: tuple[int, ...]
    post_padding: tuple[int, ...]
    dilation_nd: tuple[int, ...]
    num_groups: int = 1

    def infer(
        self, input: TensorType, kernel: TensorType, bias: TensorType | None = None
    ) -> TensorType:
        _check(input, kernel, bias, self.pre_padding, self.post_padding)
        require(
            same_dim(input.shape[1], _times(kernel.shape[1], self.num_groups)),
            f"input has {input.shape[1]} channels, kernel {kernel} with {self.num_groups} groups",
        )
        spatial = [
            map_dim(lambda size, i=i: self._size(size, i, kernel.shape[2 + i]), dim)
            for i, dim in enumerate(input.shape[2:])
        ]
        return input.with_shape((input.shape[0], kernel.shape[0], *spatial))

    def _size(self, size: int, axis: int, window: Dim) -> int:
        require(isinstance(window, int), "the kernel's window must be known")
        reach = self.dilation_nd[axis] * (int(window) - 1) + 1
        free = size + self.pre_padding[axis] + self.post_padding[axis] - reach
        require(free >= 0, f"a window of {reach} does not fit into {size} on axis {axis + 2}")
        return free // self.stride_nd[axis] + 1


@dataclass(frozen=True, slots=True)
class Deconvolution(Layer):
    """Transposed convolution; padding is cut off the full result.

    Inputs: (input [N, C, *spatial], kernel [C, K / groups, *window], optional bias [K]).
    """

    stride_nd: tuple[int, ...]
    pre_padding: tuple[int, ...]
    post_padding: tuple[int, ...]
    dilation_nd: tuple[int, ...]
    num_groups: int = 1

    def infer(
        self, input: TensorType, kernel: TensorType, bias: TensorType | None = None
    ) -> TensorType:
        _check(input, kernel, bias, self.pre_padding, self.post_padding)
        require(
            same_dim(input.shape[1], kernel.shape[0]),
            f"input has {input.shape[1]} channels, kernel is {kernel}",
        )
        spatial = [
            map_dim(lambda size, i=i: self._size(size, i, kernel.shape[2 + i]), dim)
            for i, dim in enumerate(input.shape[2:])
        ]
        maps = _times(kernel.shape[1], self.num_groups)
        return input.with_shape((input.shape[0], maps, *spatial))

    def _size(self, size: int, axis: int, window: Dim) -> int:
        require(isinstance(window, int), "the kernel's window must be known")
        full = (size - 1) * self.stride_nd[axis] + self.dilation_nd[axis] * (int(window) - 1) + 1
        cut = full - self.pre_padding[axis] - self.post_padding[axis]
        require(cut > 0, f"padding leaves nothing on axis {axis + 2}")
        return cut


def _check(
    input: TensorType,
    kernel: TensorType,
    bias: TensorType | None,
    pre: tuple[int, ...],
    post: tuple[int, ...],
) -> None:
    ndim = len(pre)
    require(ndim in (2, 3), f"windows have 2 or 3 dimensions, not {ndim}")
    require(input.rank == ndim + 2, f"input {input} has not rank {ndim + 2}")
    require(kernel.rank == ndim + 2, f"kernel {kernel} has not rank {ndim + 2}")
    require(input.dtype.is_float, f"a convolution needs a float input, not {input}")
    require(input.dtype == kernel.dtype, f"input is {input.dtype}, kernel {kernel.dtype}")
    require(min(pre + post) >= 0, f"padding {pre} and {post} is negative")
    if bias is not None:
        require(bias.rank == 1 and bias.dtype == input.dtype, f"bias is {bias}, input {input}")


def _times(dim: Dim, factor: int) -> Dim:
    return map_dim(lambda size: size * factor, dim)
