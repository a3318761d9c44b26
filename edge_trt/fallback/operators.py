# SPDX-License-Identifier: Apache-2.0
"""Our own ONNX forms of operators: what `torch.onnx` lacks, or reads otherwise than PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from onnxscript import opset20 as onnx_op

from edge_trt.fallback.translations import onnx_converter

op: Any = onnx_op
aten = torch.ops.aten
FLOAT, DOUBLE, FLOAT16, BOOL, INT32, INT64 = 1, 11, 10, 9, 6, 7
"""ONNX's numbers of element types."""

_TOP_K_TYPES = (FLOAT, DOUBLE, FLOAT16, INT32, INT64)


@onnx_converter(aten.masked_select.default)
def masked_select(self: Any, mask: Any) -> Any:
    shape = op.Shape(op.Expand(mask, op.Shape(self)))  # the two broadcast each other
    flat = op.Reshape(op.Expand(self, shape), [-1])
    return op.Compress(flat, op.Reshape(op.Expand(mask, shape), [-1]), axis=0)


def _is_float(x: Any) -> bool:
    return int(x.dtype) in (FLOAT, DOUBLE, FLOAT16)


def _order(x: Any, dim: int, *, descending: bool) -> Any:
    """Indices that sort `x`; ONNX breaks ties by index, as a stable sort does.

    NaN is the largest for PyTorch: it takes the place of infinity.
    """
    key = x if int(x.dtype) in _TOP_K_TYPES else op.Cast(x, to=INT64)
    if _is_float(x):
        key = op.Where(op.IsNaN(x), op.CastLike(float("inf"), x), x)
    return op.TopK(key, _size(x, dim), axis=dim, largest=int(descending), sorted=1)[1]


def _size(x: Any, dim: int) -> Any:
    """The size of a dimension, as a tensor of one element."""
    axis = dim % len(x.shape)
    return op.Shape(x, start=axis, end=axis + 1)


@onnx_converter(aten.sort.default)
def sort(self: Any, dim: int = -1, descending: bool = False) -> Any:
    return sort_stable(self, dim=dim, descending=descending)


@onnx_converter(aten.sort.stable)
def sort_stable(
    self: Any, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> Any:
    if len(self.shape) == 0:
        return op.Identity(self), op.Constant(value_int=0)
    order = _order(self, dim, descending=descending)
    return op.GatherElements(self, order, axis=dim), order


@onnx_converter(aten.argsort.stable)
def argsort_stable(self: Any, stable: bool, dim: int = -1, descending: bool = False) -> Any:
    return sort_stable(self, stable, dim, descending)[1]


@onnx_converter(aten.searchsorted.Tensor)
def searchsorted(
    sorted_sequence: Any,
    self: Any,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Any:
    """How many elements of the sequence are below each value."""
    if sorter is not None or len(sorted_sequence.shape) != 1:
        raise NotImplementedError("searchsorted has an ONNX form for one sequence in order only")
    values = op.Unsqueeze(self, [-1])
    from_right = right if side is None else side == "right"
    compare = op.LessOrEqual if from_right else op.Less
    below = op.Cast(compare(sorted_sequence, values), to=INT32 if out_int32 else INT64)
    return op.ReduceSum(below, [-1], keepdims=0)


@onnx_converter(aten._cdist_forward.default)
def cdist(x1: Any, x2: Any, p: float, compute_mode: int | None) -> Any:
    distances = op.Abs(op.Sub(op.Unsqueeze(x1, [-2]), op.Unsqueeze(x2, [-3])))
    if p == 1.0:
        return op.ReduceSum(distances, [-1], keepdims=0)
    if p == 2.0:
        return op.ReduceL2(distances, [-1], keepdims=0)
    if p == float("inf"):
        return op.ReduceMax(distances, [-1], keepdims=0)
    raise NotImplementedError(f"cdist has an ONNX form for p of 1, 2 and infinity, not {p}")
