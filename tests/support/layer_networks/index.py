# SPDX-License-Identifier: Apache-2.0
"""Networks that gather and scatter, and matrix products."""

from __future__ import annotations

import numpy as np

from edge_trt.network.layers import Einsum, Gather, MatrixMultiply, OneHot, Scatter
from tests.support.layer_networks.case import Case, Make, layer, number, values


def _one_hot(axis: int) -> Make:
    return lambda net, i, v: net.add(OneHot(axis), i, v, net.constant(number(5, np.int64)))


INDEX = [
    *(
        Case(f"gather_{axis}_{i}", ("float32[N, 4, 5]", i), layer(Gather(axis)))
        for axis, i in ((0, "int64[2, 3]"), (1, "int64[]"), (2, "int32[5]"), (0, "int64[N]"))
    ),
    Case("gather_batch", ("float32[N, 4]", "int64[N, 3]"), layer(Gather(1, "DEFAULT", 1))),
    Case("gather_bool", ("bool[N, 4]", "int64[3]"), layer(Gather(1))),
    Case("gather_element", ("float32[N, 4]", "int64[N, 2]"), layer(Gather(1, "ELEMENT"))),
    Case("gather_nd", ("float32[N, 4, 5]", "int64[7, 2]"), layer(Gather(0, "ND"))),
    Case("gather_nd_batch", ("float32[N, 4, 5]", "int64[N, 3, 1]"), layer(Gather(0, "ND", 1))),
    Case(
        "scatter_element",
        ("float32[N, 4]", "int64[N, 2]", "float32[N, 2]"),
        layer(Scatter("ELEMENT", 1)),
    ),
    Case("scatter_nd", ("float32[N, 4, 5]", "int64[7, 2]", "float32[7, 5]"), layer(Scatter("ND"))),
    *(Case(f"one_hot_{a}", ("int64[N, 3]", "float32[2]"), _one_hot(a)) for a in (-1, 0, 1)),
]


MATRIX = [
    *(
        Case(f"matmul_{i}", (f"float32{a}", f"float32{b}"), layer(MatrixMultiply(*ops)))
        for i, (a, b, ops) in enumerate(
            (
                ("[N, 4, 5]", "[1, 5, 6]", ("NONE", "NONE")),
                ("[N, 4, 5]", "[N, 6, 5]", ("NONE", "TRANSPOSE")),
                ("[N, 5, 4]", "[N, 6, 5]", ("TRANSPOSE", "TRANSPOSE")),
                ("[N, 4, 5]", "[N, 5]", ("NONE", "VECTOR")),
                ("[N, 5]", "[N, 5, 6]", ("VECTOR", "NONE")),
                ("[5]", "[5]", ("VECTOR", "VECTOR")),
                ("[N, 3, 4, 5]", "[1, 1, 5, 6]", ("NONE", "NONE")),
            )
        )
    ),
    Case(
        "matmul_constant",
        ("float16[N, 5]",),
        lambda net, x: net.add(
            MatrixMultiply("NONE", "TRANSPOSE"), x, net.constant(values((6, 5), np.float16))
        ),
    ),
    *(
        Case(f"einsum_{equation}", tuple(f"float32{x}" for x in xs), layer(Einsum(equation)))
        for equation, *xs in (
            ("ij,jk->ik", "[N, 4]", "[4, 5]"),
            ("ij->ji", "[N, 4]"),
            ("ij,ij->", "[N, 4]", "[N, 4]"),
            ("ii->i", "[4, 4]"),
            ("ij,jk,kl->il", "[N, 4]", "[4, 5]", "[5, 6]"),
            ("bhqd,bhkd->bhqk", "[N, 2, 3, 4]", "[N, 2, 5, 4]"),
        )
    ),
]
