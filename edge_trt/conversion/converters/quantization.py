# SPDX-License-Identifier: Apache-2.0
"""Quantized graphs made elsewhere, as TensorRT's Quantize and Dequantize."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch
from torch import fx

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import bind, converter, refuse
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Dequantize, Quantize
from edge_trt.network.types import DType

importlib.import_module("torch.ao.quantization.fx._decomposed")  # defines the operators
aten, quantized = torch.ops.aten, torch.ops.quantized_decomposed

QUANTIZE = (
    quantized.quantize_per_tensor.default,
    quantized.quantize_per_tensor.tensor,
    quantized.quantize_per_channel.default,
)
DEQUANTIZE = (
    quantized.dequantize_per_tensor.default,
    quantized.dequantize_per_tensor.tensor,
    quantized.dequantize_per_channel.default,
)
NOTE = "int8 around zero by constant scales; the rest is computed in floats"


def _known(value: Any) -> np.ndarray | None:
    """A number or a constant tensor; None for what is computed."""
    if not isinstance(value, fx.Node):
        return np.asarray(value)
    if value.op != "get_attr" or value.graph.owning_module is None:
        return None
    found = getattr(value.graph.owning_module, str(value.target), None)
    return found.detach().cpu().numpy() if isinstance(found, torch.Tensor) else None


def _symmetric(scale: Any, zero_point: Any) -> str | None:
    scales, zeros = _known(scale), _known(0 if zero_point is None else zero_point)
    if scales is None or zeros is None:
        return "TensorRT quantizes by constant scales and zero points: calibrate before export"
    if zeros.any():
        return "TensorRT quantizes around zero: use a symmetric scheme, whose zero point is 0"
    if isinstance(scale, fx.Node) and scales.dtype != np.float32:
        return f"TensorRT quantizes by float32 scales, not {scales.dtype}: cast them in the model"
    if not (np.isfinite(scales).all() and (scales > 0).all()):
        return "TensorRT quantizes by positive scales: calibrate on inputs that are not all zero"
    return None


def _in_range(quant_min: int, quant_max: int) -> str | None:
    if quant_max == 127 and quant_min in (-128, -127):
        return None
    return f"TensorRT quantizes to -128..127, not to {quant_min}..{quant_max}: use that range"


def _per_tensor(scale: Any, zero_point: Any, quant_min: int, quant_max: int) -> str | None:
    return _in_range(quant_min, quant_max) or _symmetric(scale, zero_point)


def _quantizable(call: fx.Node) -> str | None:
    """Whether a call is a Quantize layer whose int8 nothing but Dequantize layers read."""
    bound = bind(call)
    if bound["dtype"] is not torch.int8:
        return f"TensorRT quantizes to int8, not to {bound['dtype']}: use int8"
    if reason := _in_range(bound["quant_min"], bound["quant_max"]) or _of_call(call):
        return reason
    if all(user.target in DEQUANTIZE and _faithful(user) is None for user in call.users):
        return None
    return "TensorRT's quantized values are read by Dequantize alone: dequantize before other use"


def _of_call(call: fx.Node) -> str | None:
    bound = bind(call)
    if "axis" in bound:
        return _symmetric(bound["scales"], bound["zero_points"])
    return _symmetric(bound["scale"], bound["zero_point"])


def _faithful(call: fx.Node) -> str | None:
    """Whether a call is a Dequantize layer, wherever its int8 comes from."""
    bound = bind(call)
    if bound["dtype"] is not torch.int8 or bound["out_dtype"] not in (None, torch.float32):
        return "TensorRT dequantizes int8 to float32 here: use those types"
    return _of_call(call)


def _quantized(input: fx.Node) -> str | None:
    calls = [user for user in input.users if user.target in QUANTIZE]
    return next(filter(None, map(_quantizable, calls)), None)


def _dequantized(input: fx.Node) -> str | None:
    source = input.op == "get_attr" or (input.target in QUANTIZE and _quantizable(input) is None)
    if not source:
        return "TensorRT dequantizes what was quantized: dequantize right after quantizing"
    calls = [user for user in input.users if user.target in DEQUANTIZE]
    return next(filter(None, map(_faithful, calls)), None)


def _scale(ctx: Context, scale: Tensor | float) -> Tensor:
    """A scale per tensor, which TensorRT wants without dimensions."""
    if isinstance(scale, Tensor):
        return ctx.reshape(scale, [])
    return ctx.constant(scale, DType.FLOAT32)


def _levels(x: np.ndarray, scale: np.ndarray, quant_min: int, axis: int) -> np.ndarray:
    """What PyTorch rounds a constant to: it multiplies by the inverse of the scale."""
    steps = scale.reshape([-1, *(1,) * (x.ndim - 1 - axis % x.ndim)]) if scale.ndim else scale
    inverse = np.float32(1) / steps.astype(np.float32)
    return np.clip(np.rint(x.astype(np.float32) * inverse), quant_min, 127).astype(np.int8)


def _quantize(ctx: Context, x: Tensor, scale: Tensor, quant_min: int, axis: int = -1) -> Tensor:
    if x.data is not None and scale.data is not None and not np.isnan(x.data).any():
        return ctx.constant(_levels(x.data, scale.data, quant_min, axis))
    x = ctx.cast(x, DType.FLOAT32)
    if quant_min == -127:
        assert scale.data is not None
        shape = [-1, *(1,) * (x.rank - 1 - axis % x.rank)] if scale.rank else []
        x = ctx.elementwise("MAX", x, ctx.constant(-127 * scale.data.reshape(shape), x.dtype))
    return ctx.network.add(Quantize(axis % x.rank if scale.rank else -1), x, scale)


def _dequantize(ctx: Context, x: Tensor, scale: Tensor, axis: int = -1) -> Tensor:
    return ctx.network.add(Dequantize(axis % x.rank if scale.rank else -1), x, scale)


@converter(*QUANTIZE[:2], when=_quantized, note=NOTE)
def quantize(ctx: Context, input: Tensor, scale: Tensor | float, quant_min: int) -> Tensor:
    return _quantize(ctx, input, _scale(ctx, scale), quant_min)


@converter(QUANTIZE[2], when=_quantized, note=NOTE)
def quantize_per_channel(
    ctx: Context, input: Tensor, scales: Tensor, axis: int, quant_min: int
) -> Tensor:
    return _quantize(ctx, input, scales, quant_min, axis)


@converter(*DEQUANTIZE[:2], when=_dequantized, note=NOTE)
def dequantize(ctx: Context, input: Tensor, scale: Tensor | float) -> Tensor:
    return _dequantize(ctx, input, _scale(ctx, scale))


@converter(DEQUANTIZE[2], when=_dequantized, note=NOTE)
def dequantize_per_channel(ctx: Context, input: Tensor, scales: Tensor, axis: int) -> Tensor:
    return _dequantize(ctx, input, scales, axis)


@converter(
    aten.fake_quantize_per_tensor_affine.default,
    aten.fake_quantize_per_tensor_affine.tensor_qparams,
    when=_per_tensor, note=NOTE,
)  # fmt: skip
def fake_quantize(ctx: Context, self: Tensor, scale: Tensor | float, quant_min: int) -> Tensor:
    by = _scale(ctx, scale)
    return ctx.as_result(_dequantize(ctx, _quantize(ctx, self, by, quant_min), by))


@converter(aten.fake_quantize_per_channel_affine.default, when=_per_tensor, note=NOTE)
def fake_quantize_per_channel(
    ctx: Context, self: Tensor, scale: Tensor, axis: int, quant_min: int
) -> Tensor:
    levels = _quantize(ctx, self, scale, quant_min, axis)
    return ctx.as_result(_dequantize(ctx, levels, scale, axis))


refuse(
    "TensorRT's range of levels is no tensor: export with quant_min and quant_max as numbers",
    quantized.quantize_per_tensor.tensor2, quantized.dequantize_per_tensor.tensor2,
)  # fmt: skip
refuse(
    "TensorRT quantizes by one constant scale per tensor or channel: calibrate before export, if"
    " arithmetic in floats costs too much",
    quantized.quantize_per_token, quantized.dequantize_per_token,
    quantized.quantize_per_channel_group, quantized.dequantize_per_channel_group,
)  # fmt: skip
refuse(
    "it is computed for float32 inputs, per token for int8: cast before it, or let it fall back",
    quantized.choose_qparams, quantized.choose_qparams_symmetric,
    quantized.choose_qparams_per_token, quantized.choose_qparams_per_token_asymmetric,
)  # fmt: skip
