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

from edge_trt.lowering.decompositions_distances import DISTANCES
from edge_trt.lowering.decompositions_indexing import INDEXING
from edge_trt.lowering.decompositions_math import MATH
from edge_trt.lowering.decompositions_matrix import MATRIX
from edge_trt.lowering.decompositions_pooling import POOLING
from edge_trt.lowering.decompositions_quantization import QUANTIZATION
from edge_trt.lowering.decompositions_recurrent import RECURRENT
from edge_trt.lowering.decompositions_reductions import REDUCTIONS
from edge_trt.lowering.decompositions_regions import REGIONS
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


def _not_of_bytes(target: OpOverload) -> Callable[..., Any]:
    """PyTorch resizes uint8 in fixed point and its decomposition in float: they differ by one."""
    function = decomposition_table[target]

    def adapted(input: Any, *rest: Any) -> Any:
        return NotImplemented if input.dtype is torch.uint8 else function(input, *rest)

    return adapted


def _smoothed(whole: OpOverload) -> Callable[..., Any]:
    """The overload that also says the scales, where they are those of the sizes."""

    def adapted(input: Any, output_size: Any, align_corners: bool, *scales: Any) -> Any:
        if any(scale is not None for scale in scales):
            return NotImplemented
        return whole(input, output_size, align_corners, None)

    return adapted


DECOMPOSITIONS: dict[OpOverload, Callable[..., Any]] = {
    **DISTANCES,
    **INDEXING,
    **MATH,
    **MATRIX,
    **POOLING,
    **QUANTIZATION,
    **RECURRENT,
    **REDUCTIONS,
    aten.rms_norm.default: _rms_norm,
    aten._upsample_bicubic2d_aa.default: _smoothed(aten._upsample_bicubic2d_aa.vec),
    aten._upsample_bilinear2d_aa.default: _smoothed(aten._upsample_bilinear2d_aa.vec),
    aten.upsample_bicubic2d.vec: _not_of_bytes(aten.upsample_bicubic2d.vec),
    aten.upsample_bilinear2d.vec: _not_of_bytes(aten.upsample_bilinear2d.vec),
}
"""Operator -> the same in PyTorch calls; ``NotImplemented`` when it has none for this call."""


def decomposition(target: Any) -> Callable[..., Any] | None:
    """Return how to write an operator in smaller ones: ours, torch's, or its composite kernel."""
    if not isinstance(target, OpOverload):
        return None
    ours = DECOMPOSITIONS.get(target) or REGIONS.get(str(target))
    found = ours or decomposition_table.get(target)
    if found is not None:
        return found
    composite = torch._C.DispatchKey.CompositeImplicitAutograd
    if torch._C._dispatch_has_kernel_for_dispatch_key(target.name(), composite):
        return target.decompose
    return None
