# SPDX-License-Identifier: Apache-2.0
"""Rows for the layers that work element by element."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from edge_trt.network.layers import (
    Activation,
    Cast,
    ElementWise,
    Identity,
    ParametricReLU,
    Scale,
    Select,
    Unary,
)
from edge_trt.network.types import DType
from tests.support.layer_rows.row import Row, bfloat16, normal, row, whole

ALPHA, BETA = 0.7, 1.3
erf = np.vectorize(math.erf, otypes=[np.float64])


def _gelu_tanh(x: Any) -> Any:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS: dict[str, Any] = {
    "RELU": lambda x: np.maximum(x, 0),
    "SIGMOID": lambda x: 1 / (1 + np.exp(-x)),
    "TANH": np.tanh,
    "LEAKY_RELU": lambda x: np.where(x < 0, ALPHA * x, x),
    "ELU": lambda x: np.where(x < 0, ALPHA * (np.exp(x) - 1), x),
    "SELU": lambda x: BETA * np.where(x > 0, x, ALPHA * np.exp(x) - ALPHA),
    "SOFTSIGN": lambda x: x / (1 + abs(x)),
    "SOFTPLUS": lambda x: ALPHA * np.log(np.exp(BETA * x) + 1),
    "CLIP": lambda x: np.maximum(ALPHA, np.minimum(BETA, x)),
    "HARD_SIGMOID": lambda x: np.maximum(0, np.minimum(1, ALPHA * x + BETA)),
    "SCALED_TANH": lambda x: ALPHA * np.tanh(BETA * x),
    "THRESHOLDED_RELU": lambda x: np.where(x > ALPHA, x, 0),
    "GELU_ERF": lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))),
    "GELU_TANH": _gelu_tanh,
}

UNARY: dict[str, Any] = {
    "EXP": np.exp, "SIN": np.sin, "COS": np.cos, "TAN": np.tan, "SINH": np.sinh, "COSH": np.cosh,
    "ATAN": np.arctan, "ASINH": np.arcsinh, "CEIL": np.ceil, "FLOOR": np.floor, "ERF": erf,
    "ABS": np.abs, "NEG": np.negative, "SIGN": np.sign, "ROUND": np.rint, "ISINF": np.isinf,
    "ISNAN": np.isnan, "RECIP": np.reciprocal,
}  # fmt: skip
POSITIVE: dict[str, Any] = {"LOG": np.log, "SQRT": np.sqrt}
BETWEEN: dict[str, Any] = {"ASIN": np.arcsin, "ACOS": np.arccos, "ATANH": np.arctanh}

BINARY: dict[str, Any] = {
    "SUM": np.add, "PROD": np.multiply, "MAX": np.maximum, "MIN": np.minimum, "SUB": np.subtract,
    "FLOOR_DIV": np.floor_divide, "EQUAL": np.equal, "GREATER": np.greater, "LESS": np.less,
}  # fmt: skip
LOGICAL: dict[str, Any] = {"AND": np.logical_and, "OR": np.logical_or, "XOR": np.logical_xor}

FLOATS = (np.float32, np.float16, bfloat16)
INTEGERS = (np.int32, np.int64, np.int8, np.uint8)
SPECIAL = np.array([0.5, 1.5, 2.5, -0.5, -1.5, np.inf, -np.inf, np.nan, 0, -3.7], np.float32)


def _tolerance(dtype: Any) -> float:
    return {np.float16: 2e-3, bfloat16: 2e-2}.get(dtype, 1e-5)


def _in(function: Any, dtype: Any) -> Any:
    """The function computed in float64 and rounded once."""
    return lambda *x: function(*(a.astype(np.float64) for a in x)).astype(dtype)


def rows() -> Iterator[Row]:
    yield from _activations()
    yield from _unary()
    yield from _binary()
    yield from _casts()
    yield from _selections()
    yield from _scales()


def _activations() -> Iterator[Row]:
    for kind, function in ACTIVATIONS.items():
        for dtype in FLOATS:
            x = 2 * normal(2, 7, dtype=dtype)
            layer = Activation(kind, ALPHA, BETA)  # type: ignore[arg-type]
            yield row(layer, [x.astype(dtype)], _in(function, dtype), tolerance=_tolerance(dtype))
    x = 30 * normal(9, dtype=np.float16)
    yield row(Activation("CLIP", -3e38, 6.0), [x], lambda x: np.minimum(x, np.float16(6)))


def _unary() -> Iterator[Row]:
    safe = normal(3, 5)
    for op, function in UNARY.items():
        result = np.bool_ if op in ("ISINF", "ISNAN") else np.float32
        yield row(Unary(op), [safe], _in(function, result))  # type: ignore[arg-type]
    for op, function in POSITIVE.items():
        yield row(Unary(op), [abs(safe) + 0.1], _in(function, np.float32))  # type: ignore[arg-type]
    for op, function in BETWEEN.items():
        yield row(Unary(op), [np.tanh(safe)], _in(function, np.float32))  # type: ignore[arg-type]
    yield row(Unary("ACOSH"), [abs(safe) + 1.1], _in(np.arccosh, np.float32))
    yield row(Unary("NOT"), [safe > 0], np.logical_not)
    for op in ("ROUND", "ISINF", "ISNAN", "ABS", "NEG", "FLOOR", "CEIL"):
        yield row(Unary(op), [SPECIAL], UNARY[op])  # type: ignore[arg-type]
    for dtype in (np.float16, bfloat16):
        for op in ("EXP", "ROUND", "ISNAN", "SIGN", "TAN"):
            result = np.bool_ if op == "ISNAN" else dtype
            yield row(
                Unary(op), [safe.astype(dtype)], _in(UNARY[op], result), tolerance=_tolerance(dtype)
            )  # type: ignore[arg-type]
    for dtype in (np.int32, np.int64, np.int8):
        for op in ("ABS", "NEG", "SIGN"):
            yield row(Unary(op), [whole(2, 6, dtype=dtype)], UNARY[op])  # type: ignore[arg-type]


def _binary() -> Iterator[Row]:
    shapes = [((2, 3), (2, 3)), ((2, 1, 4), (1, 3, 4)), ((), ()), ((4, 1), (1, 1))]
    for op, function in {**BINARY, "DIV": np.divide}.items():
        for dtype in FLOATS:
            a, b = normal(2, 3, dtype=dtype), normal(2, 3, dtype=dtype, seed=1)
            result = np.bool_ if op in ("EQUAL", "GREATER", "LESS") else dtype
            reference = _in(function, result)
            yield row(ElementWise(op), [a, b], reference, tolerance=_tolerance(dtype))  # type: ignore[arg-type]
        for left, right in shapes[1:]:
            a, b = normal(*left), normal(*right, seed=1)
            yield row(ElementWise(op), [a, b], function)  # type: ignore[arg-type]
    yield row(ElementWise("EQUAL"), [np.float32([1, 2.5]), np.float32([1, 2])], np.equal)
    for dtype in INTEGERS:
        low = 0 if dtype == np.uint8 else -9
        a = whole(40, low=low, dtype=dtype)
        b = whole(40, low=low, dtype=dtype, seed=1)
        b[b == 0] = 4
        for op, function in BINARY.items():
            if dtype != np.uint8 or op not in ("SUM", "SUB", "PROD"):
                yield row(ElementWise(op), [a, b], function)  # type: ignore[arg-type]
        truncated = lambda a, b: np.trunc(a / b).astype(a.dtype)  # noqa: E731
        yield row(ElementWise("DIV"), [a, b], truncated)
    for dtype in (np.int32, np.int64):
        a, b = whole(12, dtype=dtype), whole(12, low=0, high=4, dtype=dtype)
        yield row(ElementWise("POW"), [a, b], np.power)
        large = np.array([2**30 + 1, -(2**30) - 3], dtype)
        yield row(ElementWise("FLOOR_DIV"), [large, np.array([2, 2], dtype)], np.floor_divide)
    for dtype in FLOATS:
        a, b = abs(normal(9, dtype=dtype)), normal(9, dtype=dtype, seed=1)
        yield row(ElementWise("POW"), [a, b], _in(np.power, dtype), tolerance=_tolerance(dtype))
    truth = np.array([[True, False], [True, False]])
    for op, function in {**LOGICAL, "EQUAL": np.equal}.items():
        yield row(ElementWise(op), [truth, truth.T], function)  # type: ignore[arg-type]
    yield row(ElementWise("SUM"), [normal(2, 300), normal(1, 300)], np.add, constants=[1])


def _casts() -> Iterator[Row]:
    values = np.float32([-2.7, -0.5, 0, 0.3, 1.9, 100])
    for to in DType:
        if to is DType.UINT8:
            continue
        truncated = np.trunc(values) if to.is_integer else values
        yield row(Cast(to), [values], lambda x, t=truncated, to=to: t.astype(to.numpy))
        yield row(Cast(to), [values != 0], lambda x, to=to: x.astype(to.numpy))
        yield row(Cast(to), [values.astype(bfloat16)],
                  lambda x, to=to: np.trunc(x.astype(np.float32)).astype(to.numpy)
                  if to.is_integer else x.astype(to.numpy))  # fmt: skip
    yield row(Cast(DType.UINT8), [abs(values)], lambda x: x.astype(np.uint8))
    yield row(Cast(DType.FLOAT32), [whole(5, low=0, high=255, dtype=np.uint8)], np.float32)
    yield row(Cast(DType.INT64), [whole(5, dtype=np.int32)], np.int64)
    for dtype in (*FLOATS, *INTEGERS, np.bool_):
        yield row(Identity(), [whole(3, 2, low=0).astype(dtype)], lambda x: x)


def _selections() -> Iterator[Row]:
    condition = normal(2, 3) > 0
    for dtype in (*FLOATS, *INTEGERS):
        a, b = whole(2, 3, low=0, dtype=dtype), whole(2, 3, low=0, dtype=dtype, seed=1)
        yield row(Select(), [condition, a, b], np.where)
    yield row(Select(), [condition, normal(2, 3) > 0.5, normal(2, 3) < 0.2], np.where)
    yield row(Select(), [condition[:, :1], normal(1, 3), normal(2, 1)], np.where)
    yield row(Select(), [condition[:1, :1], normal(2, 3), normal(1, 1)], np.where, constants=[2])

    def prelu(x: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        return np.where(x < 0, x * slopes, x).astype(x.dtype)

    for dtype in FLOATS:
        x, slopes = normal(2, 3, 4, dtype=dtype), normal(1, 3, 1, dtype=dtype)
        yield row(ParametricReLU(), [x, slopes], prelu, constants=[1], tolerance=_tolerance(dtype))


def _scales() -> Iterator[Row]:
    def scaled(x: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
        across = (1, -1, *(1,) * (x.ndim - 2))
        return x * scale.reshape(across) + shift.reshape(across)

    for shape in ((2, 3, 4, 5), (2, 3, 1, 4, 2)):
        for dtype in FLOATS:
            weights = [normal(3, dtype=dtype), normal(3, dtype=dtype, seed=1)]
            yield row(
                Scale(), [normal(*shape, dtype=dtype), *weights], _in(scaled, dtype),
                constants=[1, 2], tolerance=_tolerance(dtype),
            )  # fmt: skip
