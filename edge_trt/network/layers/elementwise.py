# SPDX-License-Identifier: Apache-2.0
"""Layers that work element by element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_trt.network.layer import Layer, require
from edge_trt.network.types import DType, TensorType, broadcast_shapes, same_dim

ActivationType = Literal[
    "RELU", "SIGMOID", "TANH", "LEAKY_RELU", "ELU", "SELU", "SOFTSIGN", "SOFTPLUS", "CLIP",
    "HARD_SIGMOID", "SCALED_TANH", "THRESHOLDED_RELU", "GELU_ERF", "GELU_TANH",
]  # fmt: skip
UnaryOp = Literal[
    "EXP", "LOG", "SQRT", "RECIP", "ABS", "NEG", "SIN", "COS", "TAN", "SINH", "COSH", "ASIN",
    "ACOS", "ATAN", "ASINH", "ACOSH", "ATANH", "CEIL", "FLOOR", "ERF", "NOT", "SIGN", "ROUND",
    "ISINF", "ISNAN",
]  # fmt: skip
ElementWiseOp = Literal[
    "SUM", "PROD", "MAX", "MIN", "SUB", "DIV", "POW", "FLOOR_DIV", "AND", "OR", "XOR",
    "EQUAL", "GREATER", "LESS",
]  # fmt: skip

LOGICAL = ("AND", "OR", "XOR")
COMPARISON = ("EQUAL", "GREATER", "LESS")
INTEGER_UNARY = ("ABS", "NEG", "SIGN")
WRAPPING = ("SUM", "SUB", "PROD", "POW")


@dataclass(frozen=True, slots=True)
class Activation(Layer):
    """`type` applied to a float input, with TensorRT's alpha and beta.

    LEAKY_RELU and ELU use alpha; CLIP is max(alpha, min(beta, x)), HARD_SIGMOID
    max(0, min(1, alpha x + beta)), SELU beta (alpha e^x - alpha) below zero, SOFTPLUS
    alpha log(e^(beta x) + 1), SCALED_TANH alpha tanh(beta x), THRESHOLDED_RELU x > alpha ? x : 0.
    Inputs: (input).
    """

    type: ActivationType
    alpha: float = 0.0
    beta: float = 0.0

    def infer(self, input: TensorType) -> TensorType:
        require(input.dtype.is_float, f"an activation needs a float input, not {input}")
        return input


@dataclass(frozen=True, slots=True)
class Unary(Layer):
    """`op` of each element. NOT takes bool; ISINF and ISNAN give bool. Inputs: (input)."""

    op: UnaryOp

    def infer(self, input: TensorType) -> TensorType:
        if self.op == "NOT":
            require(input.dtype is DType.BOOL, f"NOT needs a bool input, not {input}")
            return input
        signed = input.dtype.is_integer and input.dtype is not DType.UINT8
        integer = self.op in INTEGER_UNARY and signed
        require(input.dtype.is_float or integer, f"{self.op} does not take {input}")
        return input.with_dtype(DType.BOOL) if self.op in ("ISINF", "ISNAN") else input


@dataclass(frozen=True, slots=True)
class ElementWise(Layer):
    """`op` of two tensors of one type and rank, broadcast where a size is 1.

    AND, OR, XOR take and give bool; EQUAL, GREATER, LESS give bool; FLOOR_DIV rounds to minus
    infinity; integer DIV rounds to zero. Inputs: (input1, input2).
    """

    op: ElementWiseOp

    def infer(self, input1: TensorType, input2: TensorType) -> TensorType:
        require(input1.dtype == input2.dtype, f"{self.op} of {input1.dtype} and {input2.dtype}")
        wraps = input1.dtype is DType.UINT8 and self.op in WRAPPING
        require(not wraps, f"{self.op} of uint8 would leave 0..255: compute it in int32")
        is_bool = input1.dtype is DType.BOOL
        if self.op in LOGICAL:
            require(is_bool, f"{self.op} needs bool inputs, not {input1.dtype}")
        elif self.op != "EQUAL":
            require(not is_bool, f"{self.op} does not take bool inputs")
        shape = broadcast_shapes(input1.shape, input2.shape, self.op)
        return TensorType(DType.BOOL if self.op in COMPARISON else input1.dtype, shape)


@dataclass(frozen=True, slots=True)
class Select(Layer):
    """`condition ? then_input : else_input`, broadcast. Inputs: (condition, then, else)."""

    def infer(self, condition: TensorType, then: TensorType, other: TensorType) -> TensorType:
        require(condition.dtype is DType.BOOL, f"the condition is {condition.dtype}, not bool")
        require(then.dtype == other.dtype, f"branches are {then.dtype} and {other.dtype}")
        shape = broadcast_shapes(then.shape, other.shape, "Select")
        return then.with_shape(broadcast_shapes(condition.shape, shape, "Select"))


@dataclass(frozen=True, slots=True)
class Cast(Layer):
    """Conversion to another element type; float to integer truncates. Inputs: (input)."""

    to_type: DType

    def infer(self, input: TensorType) -> TensorType:
        return input.with_dtype(self.to_type)


@dataclass(frozen=True, slots=True)
class Identity(Layer):
    """A copy, for an output that is an input or a constant. Inputs: (input)."""

    def infer(self, input: TensorType) -> TensorType:
        return input


@dataclass(frozen=True, slots=True)
class ParametricReLU(Layer):
    """`x < 0 ? slope * x : x`, slopes of equal rank broadcast to x. Inputs: (input, slopes)."""

    def infer(self, input: TensorType, slopes: TensorType) -> TensorType:
        require(input.dtype.is_float, f"ParametricReLU needs a float input, not {input}")
        require(input.dtype == slopes.dtype, f"input {input.dtype}, slopes {slopes.dtype}")
        pairs = zip(input.shape, slopes.shape, strict=False)
        fits = all(size != 1 or slope == 1 for size, slope in pairs)
        require(fits, f"slopes {slopes} are larger than {input}")
        return input.with_shape(broadcast_shapes(input.shape, slopes.shape, "ParametricReLU"))


@dataclass(frozen=True, slots=True)
class Scale(Layer):
    """`x * scale + shift` per channel; scale and shift are constants, as TensorRT's are weights.

    Inputs: (input [N, C, *spatial], scale [C], shift [C]).
    """

    def infer(self, input: TensorType, scale: TensorType, shift: TensorType) -> TensorType:
        require(input.dtype.is_float, f"Scale needs a float input, not {input}")
        require(input.rank >= 4, f"Scale needs four dimensions, not {input}")
        for other in (scale, shift):
            require(other.dtype == input.dtype, f"input is {input.dtype}, weights {other.dtype}")
            fits = other.rank == 1 and same_dim(other.shape[0], input.shape[1])
            require(fits, f"weights {other} are not one number per channel of {input}")
        return input
