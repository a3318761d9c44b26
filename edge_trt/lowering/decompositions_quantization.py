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


def _choose(input: Any, quant_min: int, quant_max: int, eps: float, dtype: Any) -> Any:
    """Scale and zero point, of one element each, from the extremes and 0."""
    if input.dtype is not torch.float32:
        return NotImplemented
    low, high = input.amin().clamp(max=0), input.amax().clamp(min=0)
    scale = ((high - low) / float(quant_max - quant_min)).clamp(min=eps)
    zero = (quant_min - torch.round(low / scale)).clamp(quant_min, quant_max)
    return scale.reshape([1]), zero.reshape([1]).to(torch.int64)


def _choose_symmetric(input: Any, quant_min: int, quant_max: int, eps: float, dtype: Any) -> Any:
    if input.dtype is not torch.float32:
        return NotImplemented
    scale = (input.abs().amax() / (float(quant_max - quant_min) / 2)).clamp(min=eps).reshape([1])
    return scale, torch.full([1], 128 if dtype is torch.uint8 else 0, dtype=torch.int64)


def _choose_per_token(input: Any, dtype: Any) -> Any:
    if input.dtype is not torch.float32 or dtype is not torch.int8:
        return NotImplemented
    scale = input.abs().amax(-1, keepdim=True).clamp(min=1e-5) / 127
    return scale, torch.zeros_like(scale, dtype=torch.int64)


def _choose_per_token_asymmetric(input: Any, dtype: Any) -> Any:
    """The zero point comes from the end at which rounding the range errs more."""
    if input.dtype is not torch.float32:
        return NotImplemented
    low = input.amin(-1, keepdim=True).clamp(max=0)
    high = input.amax(-1, keepdim=True).clamp(min=0)
    scale = ((high - low) / 255.0).clamp(min=torch.finfo(torch.float32).eps)
    first, last = low / scale, high / scale
    zero = torch.where(first + last - 1 > 0, -128 - first, 127 - last)
    return scale, zero.clamp(-128, 127).round().to(torch.int64)


def _quantize_per_token(
    input: Any, scales: Any, zero_points: Any, quant_min: int, quant_max: int, dtype: Any
) -> Any:
    """Rounded with the zero point in it, other than per tensor."""
    if max(-quant_min, quant_max) > LARGEST or input.dtype is not torch.float32:
        return NotImplemented
    levels = torch.round(input * (1.0 / scales.to(torch.float32)) + zero_points.to(torch.float32))
    return torch.clamp(levels, quant_min, quant_max).to(dtype)


def _dequantize_per_token(
    input: Any,
    scales: Any,
    zero_points: Any,
    quant_min: int,
    quant_max: int,
    dtype: Any,
    output_dtype: Any,
) -> Any:
    levels = input.to(torch.float32)
    if zero_points is not None:
        levels = levels - zero_points.to(torch.float32)
        kind = torch.promote_types(input.dtype, zero_points.dtype)
        if kind in (torch.int8, torch.uint8):  # PyTorch subtracts in so few bits, and overflows
            first = torch.iinfo(kind).min
            levels = torch.remainder(levels - first, 256) + first
        elif kind.itemsize < 4:
            return NotImplemented
    return (levels * scales.to(torch.float32)).to(output_dtype)


def _by_group(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same with scales and zero points per group of elements of a row."""

    def adapted(
        input: Any,
        scales: Any,
        zero_points: Any,
        quant_min: int,
        quant_max: int,
        dtype: Any,
        group_size: int,
        *rest: Any,
    ) -> Any:
        size = min(group_size, input.shape[-1]) if scales.shape[-1] == 1 else group_size
        zeros = None if zero_points is None else zero_points.reshape(-1, 1)
        limits = (quant_min, quant_max, dtype)
        groups = function(input.reshape(-1, size), scales.reshape(-1, 1), zeros, *limits, *rest)
        return groups if groups is NotImplemented else groups.reshape(input.shape)

    return adapted


QUANTIZATION: dict[Any, Callable[..., Any]] = {
    quantized.quantize_per_tensor.default: _quantize,
    quantized.quantize_per_tensor.tensor: _by_numbers(_quantize),
    quantized.dequantize_per_tensor.default: _dequantize,
    quantized.dequantize_per_tensor.tensor: _by_numbers(_dequantize),
    quantized.quantize_per_channel.default: _quantize_per_channel,
    quantized.dequantize_per_channel.default: _dequantize_per_channel,
    quantized.choose_qparams.tensor: _choose,
    quantized.choose_qparams_symmetric.tensor: _choose_symmetric,
    quantized.choose_qparams_per_token.default: _choose_per_token,
    quantized.choose_qparams_per_token_asymmetric.default: _choose_per_token_asymmetric,
    quantized._choose_qparams_per_token_asymmetric_impl.default: _choose_per_token_asymmetric,
    quantized.quantize_per_token.default: _quantize_per_token,
    quantized.dequantize_per_token.default: _dequantize_per_token,
    quantized.quantize_per_channel_group.default: _by_group(_quantize_per_token),
    quantized.dequantize_per_channel_group.default: _by_group(_dequantize_per_token),
    aten.fake_quantize_per_tensor_affine.default: _fake,
    aten.fake_quantize_per_tensor_affine.tensor_qparams: _by_numbers(_fake),
    aten.fake_quantize_per_channel_affine.default: _fake_per_channel,
}

QUANTIZERS = frozenset(op for op in QUANTIZATION if op._opname.startswith(("quantize", "fake")))
"""Those that round; what they rounded is dequantized as often as it is read."""
