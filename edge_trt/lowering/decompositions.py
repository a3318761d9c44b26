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

from edge_trt.lowering.decompositions_math import MATH
from edge_trt.lowering.decompositions_matrix import MATRIX
from edge_trt.lowering.decompositions_reductions import REDUCTIONS
from edge_trt.lowering.edit import aten

if TYPE_CHECKING:
    from collections.abc import Callable


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
    **MATH,
    **MATRIX,
    **REDUCTIONS,
    aten.rms_norm.default: _rms_norm,
    aten.select_scatter.default: _scatter_select,
    aten.slice_scatter.default: _scatter_slice,
    aten.upsample_bicubic2d.vec: _not_of_bytes(aten.upsample_bicubic2d.vec),
    aten.upsample_bilinear2d.vec: _not_of_bytes(aten.upsample_bilinear2d.vec),
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
