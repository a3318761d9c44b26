# SPDX-License-Identifier: Apache-2.0
"""Explicit quantization: per tensor, per channel, per block."""

from __future__ import annotations

import torch

from tests.support.trt_interpreter.call import Call, Function


def quantize(call: Call) -> torch.Tensor:
    """Rounds half to even, then saturates."""
    dtype = call.output_dtype()
    scaled = call.input / _scale(call).to(call.input.dtype)
    _check_zero_point(call)
    if dtype is torch.int8:
        return torch.round(scaled).clamp(-128, 127).to(dtype)
    if dtype is torch.float8_e4m3fn:
        limit = torch.finfo(dtype).max
        return scaled.clamp(-limit, limit).to(dtype)
    raise call.unsupported(f"type {dtype}")


def dequantize(call: Call) -> torch.Tensor:
    scale = _scale(call)
    _check_zero_point(call)
    return call.input.float() * scale.float()


def _scale(call: Call) -> torch.Tensor:
    """The scale, spread so that it broadcasts with the input."""
    x, scale = call.input, call.tensor(1)
    if scale.numel() == 1:
        return scale.reshape(())
    if scale.ndim == 1:
        axis = call.layer.axis
        if not 0 <= axis < x.ndim or scale.shape[0] != x.shape[axis]:
            raise call.unsupported(f"{scale.shape[0]} scales on axis {axis} of {list(x.shape)}")
        return scale.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    if scale.ndim != x.ndim:
        raise call.unsupported(f"scale {list(scale.shape)} for {list(x.shape)}")
    for axis, (size, count) in enumerate(zip(x.shape, scale.shape, strict=True)):
        if size % count:
            raise call.unsupported(f"{count} blocks on axis {axis} of {list(x.shape)}")
        scale = scale.repeat_interleave(size // count, axis)
    return scale


def _check_zero_point(call: Call) -> None:
    if call.has(2) and bool((call.tensor(2).float() != 0).any()):
        raise call.unsupported("a zero point that is not zero")


FUNCTIONS: dict[str, Function] = {"DEQUANTIZE": dequantize, "QUANTIZE": quantize}
