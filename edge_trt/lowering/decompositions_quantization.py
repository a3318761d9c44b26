# SPDX-License-Identifier: Apache-2.0
"""Quantization that TensorRT's layers do not know (uint8, zero points, other ranges), computed.

The rounded values are whole numbers of at most eight bits, which floats hold exactly.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import torch

from edge_trt.lowering.edit import aten

if TYPE_CHECKING:
    from collections.abc import Callable

importlib.import_module("torch.ao.quantization.fx._decomposed")  # defines the operators
quantized = torch.ops.quantized_decomposed
LARGEST = 1 << 20
"""Largest quantized value that is computed: float32 still tells halves from each other there."""


def _quantize(
    input: Any, scale: Any, zero_point: Any, quant_min: int, quant_max: int, dtype: Any
) -> Any:
    if max(-quant_min, quant_max) > LARGEST:
        return NotImplemented
    levels = torch.round(input.to(torch.float32) * (1.0 / scale)) + zero_point
    return torch.clamp(levels, quant_min, quant_max).to(dtype)


def _dequantize(
    input: Any,
    scale: Any,
    zero_point: Any,
    quant_min: int,
    quant_max: int,
    dtype: Any,
    *,
    out_dtype: Any = None,
) -> Any:
    return (input.to(out_dtype or torch.float32) - zero_point) * scale


def _by_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a scale and zero point that are tensors of one element."""

    def adapted(input: Any, scale: Any, zero_point: Any, *rest: Any, **options: Any) -> Any:
        numbers = (scale.reshape([]), zero_point.reshape([]))
        return function(input, *numbers, *rest, **options)

    return adapted


def _along(x: Any, values: Any, axis: int) -> Any:
    """One value per channel, shaped to broadcast."""
    return values.reshape([-1, *(1,) * (x.dim() - 1 - axis % x.dim())])


def _quantize_per_channel(input: Any, scales: Any, zero_points: Any, axis: int, *rest: Any) -> Any:
    scales, zeros = (_along(input, values, axis) for values in (scales, zero_points))
    return _quantize(input, scales, zeros, *rest)


def _dequantize_per_channel(
    input: Any,
    scales: Any,
    zero_points: Any,
    axis: int,
    quant_min: int,
    quant_max: int,
    dtype: Any,
    *,
    out_dtype: Any = None,
) -> Any:
    whole = input.to(torch.int32)
    if zero_points is not None:
        if zero_points.dtype.itemsize < whole.dtype.itemsize:
            return NotImplemented  # PyTorch subtracts in so few bits that it overflows
        whole = whole - _along(input, zero_points, axis)
    return (whole * _along(input, scales, axis)).to(out_dtype or torch.float32)


def _fake(self: Any, scale: Any, zero_point: Any, quant_min: int, quant_max: int) -> Any:
    if max(-quant_min, quant_max) > LARGEST:
        return NotImplemented
    levels = torch.clamp(torch.round(self * (1.0 / scale)) + zero_point, quant_min, quant_max)
    return (levels - zero_point) * scale


def _fake_per_channel(
    self: Any, scale: Any, zero_point: Any, axis: int, quant_min: int, quant_max: int
) -> Any:
    scale, zero_point = (_along(self, values, axis) for values in (scale, zero_point))
    return _fake(self, scale, zero_point, quant_min, quant_max)


QUANTIZATION: dict[Any, Callable[..., Any]] = {
    quantized.quantize_per_tensor.default: _quantize,
    quantized.quantize_per_tensor.tensor: _by_numbers(_quantize),
    quantized.dequantize_per_tensor.default: _dequantize,
    quantized.dequantize_per_tensor.tensor: _by_numbers(_dequantize),
    quantized.quantize_per_channel.default: _quantize_per_channel,
    quantized.dequantize_per_channel.default: _dequantize_per_channel,
    aten.fake_quantize_per_tensor_affine.default: _fake,
    aten.fake_quantize_per_tensor_affine.tensor_qparams: _by_numbers(_fake),
    aten.fake_quantize_per_channel_affine.default: _fake_per_channel,
}

QUANTIZERS = frozenset(op for op in QUANTIZATION if "dequantize" not in op._schema.name)
"""Those that round; what they rounded is dequantized as often as it is read."""
