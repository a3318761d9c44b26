# SPDX-License-Identifier: Apache-2.0
"""Networks of layers that work element by element, and of constants."""

from __future__ import annotations

from typing import get_args

import numpy as np

from edge_trt.network.layers import (
    Activation,
    Cast,
    Concatenation,
    ElementWise,
    Identity,
    ParametricReLU,
    Scale,
    Select,
    Unary,
)
from edge_trt.network.layers.elementwise import ActivationType, ElementWiseOp, UnaryOp
from edge_trt.network.types import DType
from tests.support.layer_networks.case import Case, layer, values


def _unary_type(op: str) -> str:
    return "bool" if op == "NOT" else "float32"


def _operand_type(op: str) -> str:
    return "bool" if op in ("AND", "OR", "XOR") else "float32"


ELEMENTWISE = [
    *(
        Case(f"activation_{t.lower()}", ("float32[N, 4]",), layer(Activation(t, 0.5, 1.0)))
        for t in get_args(ActivationType)
    ),
    Case("activation_half", ("float16[N, 4, 5, 6, 7]",), layer(Activation("RELU"))),
    *(
        Case(f"unary_{op.lower()}", (f"{_unary_type(op)}[N, 4]",), layer(Unary(op)))
        for op in get_args(UnaryOp)
    ),
    *(Case(f"unary_{op.lower()}_int", ("int32[N]",), layer(Unary(op))) for op in ("ABS", "NEG")),
    Case("unary_0d", ("float32[]",), layer(Unary("EXP"))),
    *(
        Case(
            f"elementwise_{op.lower()}",
            (f"{_operand_type(op)}[N, 4]", f"{_operand_type(op)}[N, 4]"),
            layer(ElementWise(op)),
        )
        for op in get_args(ElementWiseOp)
    ),
    *(
        Case(f"elementwise_{t}", (f"{t}[N, 4]", f"{t}[1, 4]"), layer(ElementWise("SUM")))
        for t in ("float16", "bfloat16", "int32", "int64")
    ),
    Case("elementwise_0d", ("int64[]", "int64[]"), layer(ElementWise("PROD"))),
    Case("elementwise_equal_bool", ("bool[N]", "bool[N]"), layer(ElementWise("EQUAL"))),
    Case(
        "elementwise_constant",
        ("float32[N, 4]",),
        lambda net, x: net.add(ElementWise("PROD"), x, net.constant(values((1, 4)))),
    ),
    *(
        Case(f"select_{t}", ("bool[N, 1]", f"{t}[1, 4]", f"{t}[N, 4]"), layer(Select()))
        for t in ("float32", "int64", "bool", "uint8")
    ),
    *(
        Case(f"cast_{a}_{b}", (f"{a}[N, 4]",), layer(Cast(DType(b))))
        for a, b in (
            ("float32", "float16"),
            ("float32", "bfloat16"),
            ("float32", "int32"),
            ("float32", "int64"),
            ("float32", "bool"),
            ("float32", "uint8"),
            ("int64", "uint8"),
            ("uint8", "float32"),
            ("bool", "float32"),
            ("int64", "float32"),
            ("int32", "int64"),
            ("float32", "int8"),
            ("int8", "float32"),
        )
    ),
    *(Case(f"identity_{t.value}", (f"{t.value}[N, 4]",), layer(Identity())) for t in DType),
    *(
        Case(
            f"constant_{t.value}",
            ("float32[N]",),
            lambda net, x, t=t: (
                net.add(Identity(), x),
                net.add(Identity(), net.constant(np.ones((2, 3), t.numpy))),
            ),
        )
        for t in DType
    ),
    Case(
        "constant_empty",
        ("float32[3, 4]",),
        lambda net, x: net.add(Concatenation(1), x, net.constant(np.zeros((3, 0), np.float32))),
    ),
    Case(
        "constant_strided",
        ("float32[N, 4]",),
        lambda net, x: net.add(ElementWise("SUM"), x, net.constant(values((4, 8)).T[:1])),
    ),
    *(
        Case(
            f"scale_{x}",
            (x,),
            lambda net, x: net.add(
                Scale(),
                x,
                net.constant(values(4, x.dtype.numpy)),
                net.constant(values(4, x.dtype.numpy)[::-1]),
            ),
        )
        for x in (
            "float32[N, 4, 5, 6]",
            "float16[N, 4, 5, 6]",
            "bfloat16[N, 4, 5, 6]",
            "float32[N, 4, 2, 3, 5]",
        )
    ),
    Case("prelu", ("float32[N, 4]", "float32[1, 4]"), layer(ParametricReLU())),
]
