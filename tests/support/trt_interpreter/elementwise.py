# SPDX-License-Identifier: Apache-2.0
"""Layers that work element by element."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F

from tests.support.trt_interpreter.call import Call, Function

Tensor = torch.Tensor

ACTIVATIONS: dict[str, Callable[[Tensor, float, float], Tensor]] = {
    "RELU": lambda x, a, b: x.clamp(min=0),
    "SIGMOID": lambda x, a, b: torch.sigmoid(x),
    "TANH": lambda x, a, b: torch.tanh(x),
    "LEAKY_RELU": lambda x, a, b: torch.where(x >= 0, x, a * x),
    "ELU": lambda x, a, b: torch.where(x >= 0, x, a * torch.expm1(x)),
    "SELU": lambda x, a, b: torch.where(x > 0, b * x, b * a * torch.expm1(x)),
    "SOFTSIGN": lambda x, a, b: x / (1 + x.abs()),
    "SOFTPLUS": lambda x, a, b: a * torch.logaddexp(b * x, torch.zeros_like(x)),
    "CLIP": lambda x, a, b: x.clamp(max=b).clamp(min=a),
    "HARD_SIGMOID": lambda x, a, b: (a * x + b).clamp(0, 1),
    "SCALED_TANH": lambda x, a, b: a * torch.tanh(b * x),
    "THRESHOLDED_RELU": lambda x, a, b: torch.where(x > a, x, 0),
    "GELU_ERF": lambda x, a, b: F.gelu(x),
    "GELU_TANH": lambda x, a, b: F.gelu(x, approximate="tanh"),
}

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "EXP": torch.exp,
    "LOG": torch.log,
    "SQRT": torch.sqrt,
    "RECIP": torch.reciprocal,
    "ABS": torch.abs,
    "NEG": torch.neg,
    "SIN": torch.sin,
    "COS": torch.cos,
    "TAN": torch.tan,
    "SINH": torch.sinh,
    "COSH": torch.cosh,
    "ASIN": torch.asin,
    "ACOS": torch.acos,
    "ATAN": torch.atan,
    "ASINH": torch.asinh,
    "ACOSH": torch.acosh,
    "ATANH": torch.atanh,
    "CEIL": torch.ceil,
    "FLOOR": torch.floor,
    "ERF": torch.erf,
    "NOT": torch.logical_not,
    "SIGN": torch.sign,
    "ROUND": torch.round,  # half to even, as TensorRT
    "ISINF": torch.isinf,
    "ISNAN": torch.isnan,
}


def _divide(a: Tensor, b: Tensor) -> Tensor:
    """Integer quotients are rounded to zero."""
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


ELEMENTWISE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "SUM": torch.add,
    "PROD": torch.mul,
    "MAX": torch.maximum,
    "MIN": torch.minimum,
    "SUB": torch.sub,
    "DIV": _divide,
    "POW": torch.pow,
    "FLOOR_DIV": partial(torch.div, rounding_mode="floor"),
    "AND": torch.logical_and,
    "OR": torch.logical_or,
    "XOR": torch.logical_xor,
    "EQUAL": torch.eq,
    "GREATER": torch.gt,
    "LESS": torch.lt,
}

BOOLEAN = ("AND", "OR", "XOR")


def activation(call: Call) -> Tensor:
    function = ACTIVATIONS.get(call.enum("type"))
    if function is None or not call.input.is_floating_point():
        raise call.unsupported(f"activation {call.enum('type')} of {call.input.dtype}")
    return function(call.input, call.layer.alpha, call.layer.beta)


def unary(call: Call) -> Tensor:
    function = UNARY.get(call.enum("op"))
    if function is None or (call.enum("op") == "NOT") != (call.input.dtype is torch.bool):
        raise call.unsupported(f"operation {call.enum('op')} of {call.input.dtype}")
    return function(call.input)


def elementwise(call: Call) -> Tensor:
    a, b, op = call.input, call.tensor(1), call.enum("op")
    function = ELEMENTWISE.get(op)
    if function is None or (op in BOOLEAN and a.dtype is not torch.bool):
        raise call.unsupported(f"operation {op} of {a.dtype}")
    if a.dtype is not b.dtype or a.ndim != b.ndim:
        raise call.unsupported(f"{op} of {a.dtype}{list(a.shape)} and {b.dtype}{list(b.shape)}")
    return function(a, b)


def select(call: Call) -> Tensor:
    return torch.where(call.input, call.tensor(1), call.tensor(2))


def cast(call: Call) -> Tensor:
    """Conversion; float to integer truncates. What a type can't hold is nobody's promise."""
    x, dtype = call.input, call.output_dtype()
    if not (dtype.is_floating_point or dtype is torch.bool or x.dtype is torch.bool) and x.numel():
        limits = torch.iinfo(dtype)
        wide = x.double() if x.is_floating_point() else x.long()
        if not bool(((wide >= limits.min) & (wide <= limits.max)).all()):
            raise call.unsupported(f"values outside the range of {dtype}")
    return x.to(dtype)


def identity(call: Call) -> Tensor:
    if call.output_dtype().is_floating_point != call.input.is_floating_point():
        raise call.unsupported(f"from {call.input.dtype} to {call.output_dtype()}")
    return call.input.to(call.output_dtype())


def constant(call: Call) -> Tensor:
    weights = call.weights("weights")
    shape = tuple(call.layer.shape)
    return torch.zeros(shape, dtype=call.output_dtype()) if weights is None else weights.view(shape)


def parametric_relu(call: Call) -> Tensor:
    x, slopes = call.input, call.tensor(1)
    return torch.where(x < 0, slopes * x, x)


def scale(call: Call) -> Tensor:
    """(x * scale + shift) ^ power, with one value, one per channel, or one per element."""
    x, mode, axis = call.input, call.enum("mode"), call.layer.channel_axis
    shapes = {
        "UNIFORM": (1,) * x.ndim,
        "CHANNEL": tuple(x.shape[axis] if i == axis else 1 for i in range(x.ndim)),
        "ELEMENTWISE": (*(1,) * axis, *x.shape[axis:]),
    }
    for name, function in (("scale", torch.mul), ("shift", torch.add), ("power", torch.pow)):
        weights = call.weights(name)
        if weights is not None:
            x = function(x, weights.to(x.dtype).reshape(shapes[mode]))
    return x


FUNCTIONS: dict[str, Function] = {
    "ACTIVATION": activation,
    "CAST": cast,
    "CONSTANT": constant,
    "ELEMENTWISE": elementwise,
    "IDENTITY": identity,
    "PARAMETRIC_RELU": parametric_relu,
    "SCALE": scale,
    "SELECT": select,
    "UNARY": unary,
}
