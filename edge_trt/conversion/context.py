# SPDX-License-Identifier: Apache-2.0
"""What a converter works with: the network builder, and what torch knows of the current call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from edge_trt.network.builder import Builder, Scalar, Size
from edge_trt.network.graph import Network, Tensor
from edge_trt.network.layers.elementwise import ElementWiseOp, UnaryOp
from edge_trt.network.types import Dim, DType, TensorType

NARROW = (DType.BOOL, DType.INT8, DType.UINT8)
"""Types that TensorRT stores and does not compute in; their arithmetic is done in int32."""


@dataclass(frozen=True, slots=True)
class ZeroPadded:
    """A tensor with zeros put (before, after) it on some axes."""

    source: Tensor
    amounts: Mapping[int, tuple[int, int]]


class Context(Builder):
    """A `Builder` that also holds the result's type, from torch's own shape inference."""

    def __init__(
        self,
        network: Network,
        dim_names: Mapping[str, str] | None = None,
        *,
        in_branch: bool = False,
    ) -> None:
        super().__init__(network)
        self.in_branch = in_branch
        """Whether this is inside of a conditional."""
        self.dim_names = dict(dim_names or {})
        """Torch's names of symbolic sizes (`s77`) -> the signature's (`batch`)."""
        self.ranges: dict[Tensor, tuple[float, float]] = {}
        """The least and largest value that torch knows of a computed size."""
        self.counts: set[Tensor] = set()
        """Computed sizes that can't be negative, whatever the sizes that they come from."""
        self.zero_padded: dict[Tensor, ZeroPadded] = {}
        """What tensors are that only differ from another by zeros around it."""
        self.results: tuple[TensorType, ...] = ()
        """Types of the current call's results, as torch infers them."""

    @property
    def result(self) -> TensorType:
        """Type of the current call's only or first result."""
        return self.results[0]

    def is_count(self, size: Size) -> bool:
        """Whether a size is at least 0, which torch's guards do not promise."""
        return size >= 0 if isinstance(size, int) else size in self.counts

    def as_result(self, value: Tensor | Scalar) -> Tensor:
        """A tensor or number in the element type of the result."""
        return self.as_type(value, self.result.dtype)

    def promoted(self, op: ElementWiseOp, a: Tensor | Scalar, b: Tensor | Scalar) -> Tensor:
        """`op` computed in the type of the result, as PyTorch promotes."""
        a, b = (self._held(value, self.result.dtype) for value in (a, b))
        dtype = widened(self.result.dtype)
        computed = self.elementwise(op, self.as_type(a, dtype), self.as_type(b, dtype))
        return self.as_result(computed)

    def function(self, op: UnaryOp, x: Tensor) -> Tensor:
        """`op` computed in the type of the result."""
        return self.as_result(self.unary(op, self.cast(x, widened(self.result.dtype))))

    def compared(self, op: ElementWiseOp, a: Tensor | Scalar, b: Tensor | Scalar) -> Tensor:
        """A comparison, computed in the type that both operands promote to."""
        common = promote(a, b)
        a, b = (self._held(value, common) for value in (a, b))
        dtype = widened(common)
        return self.elementwise(op, self.as_type(a, dtype), self.as_type(b, dtype))

    def truncated(self, x: Tensor) -> Tensor:
        """Floats rounded towards zero, and each zero with the sign that it had."""
        up, down = self.unary("CEIL", x), self.unary("FLOOR", x)
        # Not the other way round: where what is chosen first is -0, ONNX Runtime gives 0.
        return self.select(self.elementwise("GREATER", x, 0), down, up)

    def as_type(self, value: Tensor | Scalar, dtype: DType) -> Tensor:
        """A tensor or number as a tensor of `dtype`."""
        return self.cast(value, dtype) if isinstance(value, Tensor) else self.constant(value, dtype)

    def _held(self, value: Tensor | Scalar, dtype: DType) -> Tensor | Scalar:
        """A number, or a 0-d tensor, as PyTorch has it in a type of eight bits.

        Beside uint8, -1 is 255: the type of a 0-d tensor does not count either.
        """
        if dtype not in (DType.INT8, DType.UINT8):
            return value
        if not isinstance(value, Tensor):
            return int(np.array(value).astype(dtype.numpy))
        if value.dtype in (dtype, DType.BOOL) or not value.dtype.is_integer:
            return value
        if value.data is not None:
            return self.derived(value, value.data.astype(dtype.numpy))
        least = -128 if dtype is DType.INT8 else 0
        wide = self.cast(value, widened(value.dtype))
        turns = self.elementwise("FLOOR_DIV", self.elementwise("SUB", wide, least), 256)
        return self.elementwise("SUB", wide, self.elementwise("PROD", turns, 256))

    def type_of(self, value: torch.Tensor) -> TensorType:
        """A torch tensor's type, symbolic sizes under the signature's names."""
        return TensorType(dtype_of(value.dtype), tuple(map(self.dim_of, value.shape)))

    def dim_of(self, size: int | torch.SymInt) -> Dim:
        """One size of a torch tensor."""
        if isinstance(size, int):
            return size
        expression = size.node.expr
        if expression.is_number:
            return int(expression)
        names = {s: self.dim_names.get(str(s), str(s)) for s in expression.free_symbols}
        return str(expression.xreplace({s: type(s)(n) for s, n in names.items()}))


def dtype_of(dtype: torch.dtype) -> DType:
    """The network's name of a torch type.

    Raises:
        ValueError: no network tensor can have it (float64, complex).
    """
    return DType(str(dtype).removeprefix("torch."))


def torch_dtype(dtype: DType) -> torch.dtype:
    """The torch type of a network type."""
    return getattr(torch, dtype.value)


def widened(dtype: DType) -> DType:
    """The type to compute in for values of a type."""
    return DType.INT32 if dtype in NARROW else dtype


def promote(a: Tensor | Scalar, b: Tensor | Scalar) -> DType:
    """The type PyTorch computes in, or a wider one: 0-d tensors and numbers are weak."""
    operands: list[Any] = [
        torch.empty((1,) * v.rank, dtype=torch_dtype(v.dtype)) if isinstance(v, Tensor) else v
        for v in (a, b)
    ]
    common = torch.result_type(*operands)
    return DType.INT32 if common is torch.int16 else dtype_of(common)  # of int8 and uint8


def axes_of(dim: int | Sequence[int] | None, rank: int) -> list[int]:
    """A `dim` argument as a list of axes; None and an empty list mean all, a scalar has none."""
    if rank == 0:
        return []
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return list(range(rank))
    return [d % rank for d in ([dim] if isinstance(dim, int) else dim)]
