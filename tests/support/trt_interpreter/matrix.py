# SPDX-License-Identifier: Apache-2.0
"""Matrix products."""

from __future__ import annotations

import torch

from tests.support.trt_interpreter.call import Call, Function


def matrix_multiply(call: Call) -> torch.Tensor:
    """Product of the last two dimensions; a VECTOR operand has one, which the result loses."""
    op0, op1 = call.enum("op0"), call.enum("op1")
    a, b = _matrix(call, 0, op0, -2), _matrix(call, 1, op1, -1)
    if a.ndim != b.ndim:
        raise call.unsupported(f"operands of ranks {a.ndim} and {b.ndim}")
    product = a @ b
    if op1 == "VECTOR":
        product = product.squeeze(-1)
    return product.squeeze(-1 if op1 == "VECTOR" else -2) if op0 == "VECTOR" else product


def _matrix(call: Call, index: int, op: str, place: int) -> torch.Tensor:
    value = call.tensor(index)
    if op == "TRANSPOSE":
        return value.transpose(-1, -2)
    if op == "VECTOR":
        return value.unsqueeze(place)
    if op == "NONE":
        return value
    raise call.unsupported(f"matrix operation {op}")


def einsum(call: Call) -> torch.Tensor:
    """Explicit or implicit subscripts; TensorRT knows neither ellipses nor diagonals."""
    equation = call.layer.equation
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    if "." in equation or any(len(set(term)) != len(term) for term in terms):
        raise call.unsupported(f"equation {equation!r}")
    return torch.einsum(equation, *(call.tensor(i) for i in range(len(call.inputs))))


FUNCTIONS: dict[str, Function] = {"EINSUM": einsum, "MATRIX_MULTIPLY": matrix_multiply}
