# SPDX-License-Identifier: Apache-2.0
"""How an operator without a converter is written in smaller operators.

Ours come first: torch's own decompositions aim at a minimal set of operators, ours at TensorRT's
layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch._decomp import decomposition_table
from torch._ops import OpOverload

from edge_trt.lowering.edit import aten

if TYPE_CHECKING:
    from collections.abc import Callable


def _addcmul(self: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    product = tensor1 * tensor2
    return self + (product if value == 1 else product * value)


def _addcdiv(self: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    quotient = tensor1 / tensor2
    return self + (quotient if value == 1 else quotient * value)


def _addmm(self: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    product = torch.matmul(mat1, mat2)
    product = product if alpha == 1 else product * alpha
    return product + (self if beta == 1 else self * beta)


def _matmul(self: Any, other: Any) -> Any:
    return torch.matmul(self, other)


def _rms_norm(
    input: Any,
    normalized_shape: Any,
    weight: Any = None,
    eps: float | None = None,
) -> Any:
    dims = list(range(-len(normalized_shape), 0))
    eps = torch.finfo(input.dtype).eps if eps is None else eps
    result = input * torch.rsqrt(torch.mean(input * input, dims, keepdim=True) + eps)
    return result if weight is None else result * weight


def _glu(self: Any, dim: int = -1) -> Any:
    left, right = torch.chunk(self, 2, dim)
    return left * torch.sigmoid(right)


def _mish(self: Any) -> Any:
    return self * torch.tanh(torch.nn.functional.softplus(self))


def _silu(self: Any) -> Any:
    return self * torch.sigmoid(self)


def _hardswish(self: Any) -> Any:
    return self * torch.nn.functional.hardsigmoid(self)


def _square(self: Any) -> Any:
    return self * self


def _rsub(self: Any, other: Any, alpha: Any = 1) -> Any:
    scaled = self if alpha == 1 else self * alpha
    return torch.neg(scaled) + other


def _var_mean(
    self: Any, dim: Any = None, *, correction: Any = None, keepdim: bool = False
) -> tuple[Any, Any]:
    dims = dim or list(range(self.dim()))
    variance = torch.var(self, dims, correction=correction, keepdim=keepdim)
    return variance, torch.mean(self, dims, keepdim=keepdim)


def _std_mean(
    self: Any, dim: Any = None, *, correction: Any = None, keepdim: bool = False
) -> tuple[Any, Any]:
    variance, mean = _var_mean(self, dim, correction=correction, keepdim=keepdim)
    return torch.sqrt(variance), mean


def _dims_first(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adapt to the overload ``.dim``, which says unbiased instead of a correction."""

    def adapted(self: Any, dim: Any, unbiased: bool = True, keepdim: bool = False) -> Any:
        return function(self, dim, correction=int(unbiased), keepdim=keepdim)

    return adapted


def _scatter_slice(
    self: Any, src: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Any:
    """Concatenate what stays and what is written: one layer where step is 1."""
    size = self.shape[dim]
    if step != 1 or not isinstance(size, int):
        return NotImplemented
    start = 0 if start is None else start + size if start < 0 else min(start, size)
    end = size if end is None else end + size if end < 0 else min(end, size)
    before, after = self.narrow(dim, 0, start), self.narrow(dim, end, size - end)
    parts = [part for part in (before, src, after) if part.shape[dim] != 0]
    return torch.cat(parts, dim) if len(parts) > 1 else src


def _scatter_select(self: Any, src: Any, dim: int, index: int) -> Any:
    size = self.shape[dim]
    if not isinstance(size, int):
        return NotImplemented
    start = index % size
    return _scatter_slice(self, src.unsqueeze(dim), dim, start, start + 1)


def _not_of_bytes(target: OpOverload) -> Callable[..., Any]:
    """PyTorch resizes uint8 in fixed point and its decomposition in float: they differ by one."""
    function = decomposition_table[target]

    def adapted(input: Any, *rest: Any) -> Any:
        return NotImplemented if input.dtype is torch.uint8 else function(input, *rest)

    return adapted


DECOMPOSITIONS: dict[OpOverload, Callable[..., Any]] = {
    aten.addcmul.default: _addcmul,
    aten.addcdiv.default: _addcdiv,
    aten.addmm.default: _addmm,
    aten.bmm.default: _matmul,
    aten.glu.default: _glu,
    aten.hardswish.default: _hardswish,
    aten.mish.default: _mish,
    aten.mm.default: _matmul,
    aten.mv.default: _matmul,
    aten.dot.default: _matmul,
    aten.rms_norm.default: _rms_norm,
    aten.rsub.Scalar: _rsub,
    aten.rsub.Tensor: _rsub,
    aten.select_scatter.default: _scatter_select,
    aten.silu.default: _silu,
    aten.slice_scatter.default: _scatter_slice,
    aten.square.default: _square,
    aten.upsample_bicubic2d.vec: _not_of_bytes(aten.upsample_bicubic2d.vec),
    aten.upsample_bilinear2d.vec: _not_of_bytes(aten.upsample_bilinear2d.vec),
    aten.std_mean.correction: _std_mean,
    aten.std_mean.dim: _dims_first(_std_mean),
    aten.var_mean.correction: _var_mean,
    aten.var_mean.dim: _dims_first(_var_mean),
}
"""Operator -> the same in PyTorch calls; ``NotImplemented`` when it has none for this call."""


def decomposition(target: Any) -> Callable[..., Any] | None:
    """Return how to write an operator in smaller ones: ours, torch's, or its composite kernel."""
    if not isinstance(target, OpOverload):
        return None
    found = DECOMPOSITIONS.get(target) or decomposition_table.get(target)
    if found is not None:
        return found
    composite = torch._C.DispatchKey.CompositeImplicitAutograd
    if torch._C._dispatch_has_kernel_for_dispatch_key(target.name(), composite):
        return target.decompose
    return None
