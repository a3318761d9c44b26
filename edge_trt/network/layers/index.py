# SPDX-License-Identifier: Apache-2.0
"""Gathering and scattering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_trt.network.layer import Layer, require
from edge_trt.network.types import UNKNOWN, DType, TensorType, merge_shapes

INDEX_TYPES = (DType.INT32, DType.INT64)


@dataclass(frozen=True, slots=True)
class Gather(Layer):
    """Picks elements by index, in one of three modes (ONNX's Gather, GatherElements, GatherND).

    DEFAULT: slices along `axis`, whose place the indices' shape takes. ELEMENT: one element per
    index along `axis`. ND: the last dimension of the indices addresses leading dimensions, after
    `num_elementwise_dims` batch dimensions. Inputs: (data, indices).
    """

    axis: int = 0
    mode: Literal["DEFAULT", "ELEMENT", "ND"] = "DEFAULT"
    num_elementwise_dims: int = 0

    def infer(self, data: TensorType, indices: TensorType) -> TensorType:
        require(indices.dtype in INDEX_TYPES, f"indices are {indices.dtype}")
        if self.mode == "ELEMENT":
            require(data.rank == indices.rank, f"elements of {data} at {indices}")
            return data.with_shape(indices.shape)
        if self.mode == "ND":
            depth = indices.shape[-1]
            require(isinstance(depth, int), "the last size of the indices must be known")
            rest = data.shape[self.num_elementwise_dims + int(depth) :]
            return data.with_shape((*indices.shape[:-1], *rest))
        require(0 <= self.axis < data.rank, f"axis {self.axis} of {data}")
        batch = self.num_elementwise_dims
        before, after = data.shape[: self.axis], data.shape[self.axis + 1 :]
        return data.with_shape((*before, *indices.shape[batch:], *after))


@dataclass(frozen=True, slots=True)
class Scatter(Layer):
    """A copy of data with updates written at indices; for equal indices any may win.

    ELEMENT: along `axis`, indices and updates of one shape. ND: as Gather ND.
    Inputs: (data, indices, updates).
    """

    mode: Literal["ELEMENT", "ND"]
    axis: int = 0

    def infer(self, data: TensorType, indices: TensorType, updates: TensorType) -> TensorType:
        require(indices.dtype in INDEX_TYPES, f"indices are {indices.dtype}")
        require(data.dtype == updates.dtype, f"data is {data.dtype}, updates {updates.dtype}")
        if self.mode == "ELEMENT":
            require(data.rank == indices.rank == updates.rank, f"ranks of {data} and {indices}")
            merge_shapes(indices.shape, updates.shape, "Scatter")
        return data


@dataclass(frozen=True, slots=True)
class OneHot(Layer):
    """One more dimension at `axis`, of size depth, `on` where the index is and `off` elsewhere.

    Inputs: (indices, values [off, on], depth 0-d).
    """

    axis: int = -1

    def infer(self, indices: TensorType, values: TensorType, depth: TensorType) -> TensorType:
        require(values.rank == 1 and depth.rank == 0, f"values {values}, depth {depth}")
        axis = self.axis if self.axis >= 0 else self.axis + indices.rank + 1
        shape = (*indices.shape[:axis], UNKNOWN, *indices.shape[axis:])
        return values.with_shape(shape)
