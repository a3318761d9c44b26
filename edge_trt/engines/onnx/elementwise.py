# SPDX-License-Identifier: Apache-2.0
"""Emission of the layers that work element by element."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge_trt.engines.onnx.dispatch import emit_layer
from edge_trt.engines.onnx.graph import ELEMENT_TYPES, Graph, Value
from edge_trt.engines.onnx.quantization import quantized_activation
from edge_trt.network.graph import Tensor
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

UNARY = {
    "EXP": "Exp", "LOG": "Log", "SQRT": "Sqrt", "RECIP": "Reciprocal", "ABS": "Abs", "NEG": "Neg",
    "SIN": "Sin", "COS": "Cos", "TAN": "Tan", "SINH": "Sinh", "COSH": "Cosh", "ASIN": "Asin",
    "ACOS": "Acos", "ATAN": "Atan", "ASINH": "Asinh", "ACOSH": "Acosh", "ATANH": "Atanh",
    "CEIL": "Ceil", "FLOOR": "Floor", "ERF": "Erf", "NOT": "Not", "SIGN": "Sign",
    "ROUND": "Round", "ISINF": "IsInf", "ISNAN": "IsNaN",
}  # fmt: skip

ELEMENTWISE = {
    "SUM": "Add", "PROD": "Mul", "MAX": "Max", "MIN": "Min", "SUB": "Sub", "DIV": "Div",
    "POW": "Pow", "AND": "And", "OR": "Or", "XOR": "Xor", "EQUAL": "Equal", "GREATER": "Greater",
    "LESS": "Less",
}  # fmt: skip

ACTIVATION: dict[str, Callable[[Graph, Tensor, float, float], Value]] = {
    "RELU": lambda g, x, a, b: g.op("Relu", x),
    "SIGMOID": lambda g, x, a, b: g.op("Sigmoid", x),
    "TANH": lambda g, x, a, b: g.op("Tanh", x),
    "LEAKY_RELU": lambda g, x, a, b: g.op("LeakyRelu", x, alpha=a),
    "ELU": lambda g, x, a, b: g.op("Elu", x, alpha=a),
    "SELU": lambda g, x, a, b: g.op("Selu", x, alpha=a, gamma=b),
    "SOFTSIGN": lambda g, x, a, b: g.op("Softsign", x),
    "SOFTPLUS": lambda g, x, a, b: _scaled(g, g.op("Softplus", _scaled(g, x, x, b)), x, a),
    "CLIP": lambda g, x, a, b: g.op("Clip", x, g.constant(a, x.dtype), g.constant(b, x.dtype)),
    "HARD_SIGMOID": lambda g, x, a, b: g.op("HardSigmoid", x, alpha=a, beta=b),
    "SCALED_TANH": lambda g, x, a, b: _scaled(g, g.op("Tanh", _scaled(g, x, x, b)), x, a),
    "THRESHOLDED_RELU": lambda g, x, a, b: g.op("ThresholdedRelu", x, alpha=a),
    "GELU_ERF": lambda g, x, a, b: g.op("Gelu", x),
    "GELU_TANH": lambda g, x, a, b: g.op("Gelu", x, approximate="tanh"),
}


def _scaled(graph: Graph, value: Value, like: Tensor, factor: float) -> Value:
    return value if factor == 1 else graph.op("Mul", value, graph.constant(factor, like.dtype))


@emit_layer.register(Activation)
def _(layer: Activation, graph: Graph, x: Tensor) -> Value:
    on_levels = quantized_activation(layer, graph, x)
    return on_levels or ACTIVATION[layer.type](graph, x, layer.alpha, layer.beta)


@emit_layer.register(Unary)
def _(layer: Unary, graph: Graph, x: Tensor) -> str:
    return graph.op(UNARY[layer.op], x)


@emit_layer.register(ElementWise)
def _(layer: ElementWise, graph: Graph, input1: Tensor, input2: Tensor) -> str:
    if layer.op != "FLOOR_DIV":
        return graph.op(ELEMENTWISE[layer.op], input1, input2)
    if input1.dtype.is_float:
        return graph.op("Floor", graph.op("Div", input1, input2))
    # Div of integers rounds to zero; Mod has the divisor's sign, so this division is exact.
    rest = graph.op("Mod", input1, input2)
    return graph.op("Div", graph.op("Sub", input1, rest), input2)


@emit_layer.register(Select)
def _(layer: Select, graph: Graph, condition: Tensor, then: Tensor, other: Tensor) -> str:
    return graph.where(condition, then, other, then.dtype)


@emit_layer.register(Cast)
def _(layer: Cast, graph: Graph, x: Tensor) -> str:
    return graph.op("Cast", x, to=ELEMENT_TYPES[layer.to_type])


@emit_layer.register(Identity)
def _(layer: Identity, graph: Graph, x: Tensor) -> str:
    return graph.op("Identity", x)


@emit_layer.register(ParametricReLU)
def _(layer: ParametricReLU, graph: Graph, x: Tensor, slopes: Tensor) -> str:
    return graph.op("PRelu", x, slopes)


@emit_layer.register(Scale)
def _(layer: Scale, graph: Graph, x: Tensor, scale: Tensor, shift: Tensor) -> str:
    """A batch-norm of mean 0 and variance 1, which ONNX Runtime runs faster than two operators."""
    channels = [int(size) for size in scale.shape]
    mean, variance = (graph.constant(np.full(channels, v), x.dtype) for v in (0, 1))
    return graph.op("BatchNormalization", x, scale, shift, mean, variance, epsilon=0.0)
