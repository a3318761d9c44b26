# SPDX-License-Identifier: Apache-2.0
"""Which layers need float32 by themselves, whatever is around them.

Convolutions and matrix products run in float16: that is where the speed is, and TensorRT
accumulates them in float32. Resizing does too: its positions are computed in float32 whatever the
type of the data, and its results lie between its inputs. So do activations, pooling by maximum and
whatever only moves data.
"""

from __future__ import annotations

import math

from edge_trt.network.graph import Node, Tensor
from edge_trt.network.layer import Layer
from edge_trt.network.layers import (
    LRN,
    Cast,
    Convolution,
    Cumulative,
    Deconvolution,
    Dequantize,
    ElementWise,
    Fill,
    GridSample,
    IfConditional,
    Loop,
    Normalization,
    Pooling,
    Quantize,
    Reduce,
    Scale,
    SoftMax,
    Unary,
)
from edge_trt.network.types import DType, volume
from edge_trt.precision.constants import misfit

LARGE = {"SUM": 256, "AVG": 1024, "PROD": 2}
"""Reductions over this many elements, or an unknown number, are large."""

BY_KIND: dict[type[Layer], str] = {
    Normalization: "mean and variance are sums of many terms and squares",
    SoftMax: "exponentials are summed",
    LRN: "squares are summed and raised to a power",
    Cumulative: "a running sum loses its small terms",
    GridSample: "11 bits do not place a sample between pixels",
    Fill: "counts above 2048 are not exact",
    Loop: "rounding errors of its state would be carried from step to step",
    IfConditional: "its branches compute as the model says",
}
GROWING = ("EXP", "SINH", "COSH")
DIVIDING = ("aten.remainder.", "aten.fmod.", "aten.floor_divide.", "aten.div.Tensor_mode")
"""Operators whose result jumps by a whole divisor where the quotient is a little off."""
EXACT_IN_HALF = (DType.BOOL, DType.UINT8, DType.INT8)


def own_reason(node: Node) -> str | None:
    """Why a layer with float32 tensors has to stay float32, or None if it need not."""
    layer = node.layer
    if type(layer) in BY_KIND:
        return BY_KIND[type(layer)]
    if node.origin.op.startswith(DIVIDING):
        return "a quotient is rounded, which needs all its digits"
    if isinstance(layer, Reduce):
        return _reduction(layer, node.inputs[0])
    if isinstance(layer, Pooling):
        large = layer.type == "AVERAGE" and math.prod(layer.window_size_nd) >= LARGE["AVG"]
        return "a mean over a large window" if large else None
    if isinstance(layer, Unary) and layer.op in GROWING:
        return f"{layer.op} leaves float16's range at 11"
    if isinstance(layer, ElementWise) and layer.op == "POW":
        return "powers leave float16's range"
    if isinstance(layer, Cast) and layer.to_type is DType.FLOAT32:
        return _widening(node.inputs[0])
    if isinstance(layer, (Quantize, Dequantize)):
        return None  # their scale is float32 beside float16 data
    found = (
        misfit(t.data, added=_is_bias(node, t))
        for t in node.inputs
        if is_float32(t) and t.data is not None
    )
    return next(filter(None, found), None)


def is_float32(tensor: Tensor) -> bool:
    """Whether a tensor is one that the rewrite is about."""
    return tensor.dtype is DType.FLOAT32


def is_square(tensor: Tensor) -> bool:
    """Whether a tensor is x * x or a power."""
    node = tensor.producer
    if node is None or not isinstance(node.layer, ElementWise):
        return False
    times_itself = node.layer.op == "PROD" and node.inputs[0] is node.inputs[1]
    return times_itself or node.layer.op == "POW"


def _is_bias(node: Node, constant: Tensor) -> bool:
    """Whether a constant is a bias; a single added number may be an epsilon instead."""
    if isinstance(node.layer, (Convolution, Deconvolution, Scale)):
        return constant is node.inputs[2] if len(node.inputs) > 2 else False
    added = isinstance(node.layer, ElementWise) and node.layer.op in ("SUM", "SUB")
    return added and volume(constant.shape) != 1


def _reduction(layer: Reduce, x: Tensor) -> str | None:
    if layer.op not in LARGE:
        return None
    if is_square(x):
        return "squares are summed"
    count = volume([x.shape[axis] for axis in layer.axes])
    if isinstance(count, int) and count < LARGE[layer.op]:
        return None
    return f"{layer.op} over {count if isinstance(count, int) else 'an unknown number of'} elements"


def _widening(x: Tensor) -> str | None:
    if x.dtype in EXACT_IN_HALF or is_float32(x):
        return None
    if x.dtype.is_float:
        return "the model itself asks for float32 here"
    return "integers above 2048 are not exact in float16"
