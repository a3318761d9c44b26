# SPDX-License-Identifier: Apache-2.0
"""Adds layers to a network and absorbs TensorRT's quirks, once, so that converters need not.

TensorRT wants operands of an elementwise layer to have one rank and one type, gives shapes as
int64 tensors, and broadcasts only in some layers. Sizes that are not known are handled by
`Sizes`, which this class extends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from edge_trt.network.graph import Tensor
from edge_trt.network.layers import (
    Activation,
    Cast,
    Concatenation,
    ElementWise,
    Fill,
    Gather,
    Identity,
    MatrixMultiply,
    Reduce,
    Select,
    Shuffle,
    Slice,
    Unary,
)
from edge_trt.network.layers.elementwise import ActivationType, ElementWiseOp, UnaryOp
from edge_trt.network.sizes import Size, Sizes, in_type
from edge_trt.network.types import DType

__all__ = ["Builder", "ReduceOp", "Scalar", "Size", "SliceMode"]

Scalar = bool | int | float
ReduceOp = Literal["SUM", "PROD", "MAX", "MIN", "AVG"]
SliceMode = Literal["STRICT_BOUNDS", "FILL", "CLAMP", "REFLECT", "WRAP"]


class Builder(Sizes):
    """Layer-adding methods over one `Network`. All axes may be negative, as in PyTorch."""

    # -- values ------------------------------------------------------------------------------

    def cast(self, x: Tensor, dtype: DType) -> Tensor:
        """`x` in another element type; constants are converted on the spot."""
        if x.dtype is dtype:
            return x
        if x.data is not None:
            return self.derived(x, in_type(x.data, dtype))
        if dtype is DType.INT8 and x.dtype.is_integer:
            x = self._last_bits(x)
        return self.network.add(Cast(dtype), x)

    def _last_bits(self, x: Tensor) -> Tensor:
        """Integers as their last eight bits read: TensorRT's cast to int8 does not say so."""
        x = self.cast(x, DType.INT32) if x.dtype is DType.UINT8 else x
        moved = self.elementwise("SUM", x, 128)
        whole = self.elementwise("PROD", self.elementwise("FLOOR_DIV", moved, 256), 256)
        return self.elementwise("SUB", x, whole)

    def identity(self, x: Tensor) -> Tensor:
        """A copy of `x`, for outputs that no layer computes."""
        return self.network.add(Identity(), x)

    def like(self, x: Tensor, value: Scalar) -> Tensor:
        """A 0-d constant in the type of `x`."""
        return self.constant(value, x.dtype)

    def arange(self, count: Size, start: Size = 0, step: int = 1) -> Tensor:
        """The int64 vector start, start + step, ... of `count` elements."""
        if isinstance(count, int) and isinstance(start, int):
            return self.constant(start + step * np.arange(count))
        inputs = (self.shape_tensor([count]), self.as_tensor(start), self.constant([step]))
        result = self.network.add(Fill(), *inputs)
        return self.refine(result, self.dims([count]))

    # -- elementwise -------------------------------------------------------------------------

    def activation(
        self, type: ActivationType, x: Tensor, alpha: float = 0, beta: float = 0
    ) -> Tensor:
        """An activation layer."""
        return self.network.add(Activation(type, float(alpha), float(beta)), x)

    def unary(self, op: UnaryOp, x: Tensor) -> Tensor:
        """A unary layer."""
        return self.network.add(Unary(op), x)

    def elementwise(self, op: ElementWiseOp, a: Tensor | Scalar, b: Tensor | Scalar) -> Tensor:
        """`op` with PyTorch's broadcasting; a number takes the other operand's type."""
        if not isinstance(a, Tensor):
            assert isinstance(b, Tensor), "one operand must be a tensor"
            a = self.like(b, a)
        if not isinstance(b, Tensor):
            b = self.like(a, b)
        rank = max(a.rank, b.rank)
        return self.network.add(ElementWise(op), self.to_rank(a, rank), self.to_rank(b, rank))

    def clip(self, x: Tensor, low: Scalar | None, high: Scalar | None) -> Tensor:
        """min(max(x, low), high); bounds that are None or infinite do not bound."""
        low = None if low == -math.inf else low
        high = None if high == math.inf else high
        if x.dtype.is_float and low is not None and high is not None and low <= high:
            return self.activation("CLIP", x, low, high)
        x = x if low is None else self.elementwise("MAX", x, low)
        return x if high is None else self.elementwise("MIN", x, high)

    def select(self, condition: Tensor, then: Tensor, other: Tensor) -> Tensor:
        """`condition ? then : other` with PyTorch's broadcasting."""
        rank = max(condition.rank, then.rank, other.rank)
        operands = [self.to_rank(t, rank) for t in (condition, then, other)]
        return self.network.add(Select(), *operands)

    def to_rank(self, x: Tensor, rank: int) -> Tensor:
        """`x` with sizes of 1 put in front, as PyTorch broadcasts."""
        return self.unsqueeze(x, range(rank - x.rank)) if rank > x.rank else x

    # -- layout ------------------------------------------------------------------------------

    def permute(self, x: Tensor, order: Sequence[int]) -> Tensor:
        """`x.permute(order)`."""
        axes = tuple(axis % x.rank for axis in order)
        if axes == tuple(range(x.rank)):
            return x
        if x.data is not None:
            return self.derived(x, x.data.transpose(axes))
        return self.network.add(Shuffle(first_transpose=axes), x)

    def unsqueeze(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        """Sizes of 1 at `axes` of the result."""
        if not axes:
            return x
        rank = x.rank + len(axes)
        ones = {axis % rank for axis in axes}
        kept = [axis for axis in range(rank) if axis not in ones]
        sizes = iter(x.shape)
        wanted = [1 if axis in ones else next(sizes) for axis in range(rank)]
        if x.data is not None or sum(isinstance(d, str) for d in wanted) <= 1:
            return self.reshape(x, [-1 if isinstance(d, str) else d for d in wanted])
        # Ones are put at the end, where sizes can be copied by place, and then moved.
        places = [*kept, *sorted(ones)]
        back = tuple(places.index(axis) for axis in range(rank))
        dims = (0,) * x.rank + (1,) * len(ones)
        return self.network.add(Shuffle(reshape_dims=dims, second_transpose=back), x)

    def squeeze(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        """Removes `axes`, which have size 1."""
        if not axes:
            return x
        ones = {axis % x.rank for axis in axes}
        kept = [axis for axis in range(x.rank) if axis not in ones]
        wanted = [x.shape[axis] for axis in kept]
        if x.data is not None or sum(isinstance(d, str) for d in wanted) <= 1:
            return self.reshape(x, [-1 if isinstance(d, str) else d for d in wanted])
        order = (*kept, *sorted(ones))
        return self.network.add(Shuffle(order, (0,) * len(kept)), x)

    def expand(self, x: Tensor, sizes: Sequence[Size]) -> Tensor:
        """`x.expand(sizes)`: broadcast by a slice with stride 0; -1 keeps a size."""
        x = self.to_rank(x, len(sizes))
        wanted = {
            axis: size
            for axis, size in enumerate(sizes)
            if x.shape[axis] == 1 and not (isinstance(size, int) and size in (1, -1))
        }
        if not wanted:
            return x
        zeros = [0] * len(wanted)
        # ONNX's Expand leaves the one element where none is asked for.
        stride = [1 if isinstance(n, int) and n == 0 else 0 for n in wanted.values()]
        return self.window(x, list(wanted), zeros, list(wanted.values()), stride)

    def slice(self, x: Tensor, axis: int, start: Size, size: Size, stride: int = 1) -> Tensor:
        """`size` elements of one axis, from `start` on, `stride` apart."""
        return self.window(x, [axis % x.rank], [start], [size], [stride])

    def window(
        self,
        x: Tensor,
        axes: Sequence[int],
        start: Sequence[Size],
        size: Sequence[Size],
        stride: Sequence[int],
        mode: SliceMode = "STRICT_BOUNDS",
        fill: Tensor | None = None,
    ) -> Tensor:
        """A slice of several axes; outside the bounds `mode` decides, FILL with `fill`."""
        inputs: list[Tensor] = []
        fields: list[tuple[int, ...] | None] = []
        for values in (start, size):
            numbers = tuple(v for v in values if isinstance(v, int))
            known = len(numbers) == len(values)
            fields.append(numbers if known else None)
            inputs += [] if known else [self.shape_tensor(values)]
        inputs += [] if fill is None else [fill]
        layer = Slice(tuple(axes), fields[0], fields[1], tuple(stride), mode)
        dims = dict(zip(axes, self.dims(size), strict=True))
        result = self.network.add(layer, x, *inputs)
        return self.refine(result, [dims.get(a, d) for a, d in enumerate(x.shape)])

    def pad(
        self,
        x: Tensor,
        pads: Mapping[int, tuple[Size, Size]],
        mode: SliceMode,
        fill: Tensor | None = None,
    ) -> Tensor:
        """Pads (negative: cuts) axes by (before, after); mode FILL, CLAMP, REFLECT or WRAP."""
        axes = [axis for axis, amounts in sorted(pads.items()) if amounts != (0, 0)]
        if not axes:
            return x
        start = [self.calculate("SUB", 0, pads[axis][0]) for axis in axes]
        added = [self.calculate("SUM", *pads[axis]) for axis in axes]
        size = [self.calculate("SUM", self.size(x, a), n) for a, n in zip(axes, added, strict=True)]
        return self.window(x, axes, start, size, [1] * len(axes), mode, fill)

    def take(self, x: Tensor, axis: int, index: int) -> Tensor:
        """`x.select(axis, index)` with a known index."""
        start = self.calculate("SUM", self.size(x, axis), index) if index < 0 else index
        return self.squeeze(self.slice(x, axis, start, 1), [axis])

    def concat(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        """Joins tensors of one type and rank."""
        if len(parts) == 1:
            return parts[0]
        return self.network.add(Concatenation(axis % parts[0].rank), *parts)

    def gather(self, x: Tensor, indices: Tensor, axis: int) -> Tensor:
        """Slices of x along `axis` at `indices`, which must not be negative."""
        return self.network.add(Gather(axis % x.rank), x, indices)

    # -- reductions and products -------------------------------------------------------------

    def reduce(self, op: ReduceOp, x: Tensor, axes: Sequence[int], keep_dims: bool) -> Tensor:
        """A reduction; no axes means x itself."""
        if not axes:
            return x
        places = tuple(sorted({axis % x.rank for axis in axes}))
        return self.network.add(Reduce(op, places, keep_dims), x)

    def along(self, x: Tensor, axis: int, matrix: np.ndarray | Tensor) -> Tensor:
        """The product of one axis with a matrix [size, new size] in the type of `x`."""
        if isinstance(matrix, np.ndarray):
            matrix = self.constant(matrix, x.dtype, "matrix")
        if axis == x.rank - 2:
            return self.matmul(self.permute(matrix, [1, 0]), x)
        order = [*(a for a in range(x.rank) if a != axis), axis]
        back = [order.index(a) for a in range(x.rank)]
        return self.permute(self.matmul(self.permute(x, order), matrix), back)

    def matmul(self, a: Tensor, b: Tensor, *, transpose_b: bool = False) -> Tensor:
        """`torch.matmul(a, b)`: vectors, matrices and batches of them, broadcast."""
        op0 = "VECTOR" if a.rank == 1 else "NONE"
        op1 = "VECTOR" if b.rank == 1 else "TRANSPOSE" if transpose_b else "NONE"
        batch = max(max(t.rank - 2, 0) for t in (a, b))
        a = self.to_rank(a, batch + (1 if op0 == "VECTOR" else 2))
        b = self.to_rank(b, batch + (1 if op1 == "VECTOR" else 2))
        return self.network.add(MatrixMultiply(op0, op1), a, b)
