# SPDX-License-Identifier: Apache-2.0
"""Matrix products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_trt.network.layer import Layer, require
from edge_trt.network.types import Dim, TensorType, broadcast_shapes, merge_dim, same_dim

MatrixOperation = Literal["NONE", "TRANSPOSE", "VECTOR"]


@dataclass(frozen=True, slots=True)
class MatrixMultiply(Layer):
    """Product of the last two dimensions (one for a VECTOR), the others broadcast.

    Inputs: (input0, input1), of equal rank unless one is a VECTOR.
    """

    op0: MatrixOperation = "NONE"
    op1: MatrixOperation = "NONE"

    def infer(self, input0: TensorType, input1: TensorType) -> TensorType:
        require(input0.dtype == input1.dtype, f"product of {input0.dtype} and {input1.dtype}")
        require(input0.dtype.is_float, f"TensorRT has no matrix product of {input0.dtype}")
        batch0, (rows, inner0) = _split(input0, self.op0, column=False)
        batch1, (inner1, columns) = _split(input1, self.op1, column=True)
        require(
            same_dim(inner0, inner1),
            f"product of {input0} and {input1}: inner sizes {inner0} and {inner1} differ",
        )
        batch = broadcast_shapes(batch0, batch1, "MatrixMultiply")
        kept = [] if self.op0 == "VECTOR" else [rows]
        kept += [] if self.op1 == "VECTOR" else [columns]
        return input0.with_shape((*batch, *kept))


def _split(
    input: TensorType, op: MatrixOperation, *, column: bool
) -> tuple[tuple[Dim, ...], tuple[Dim, Dim]]:
    """The batch dimensions, and rows and columns after `op`."""
    if op == "VECTOR":
        require(input.rank >= 1, "a VECTOR operand needs a dimension")
        size = input.shape[-1]
        return input.shape[:-1], (size, 1) if column else (1, size)
    require(input.rank >= 2, f"a matrix operand needs two dimensions, not {input}")
    rows, columns = input.shape[-2:]
    return input.shape[:-2], (columns, rows) if op == "TRANSPOSE" else (rows, columns)


@dataclass(frozen=True, slots=True)
class Einsum(Layer):
    """Einstein summation with an explicit right side and no ellipsis. Inputs: (one or more)."""

    equation: str

    def infer(self, *inputs: TensorType) -> TensorType:
        left, arrow, right = self.equation.partition("->")
        require(self.equation == self.equation.lower(), f"{self.equation!r}: use small letters")
        require(bool(arrow) and "." not in left, f"equation {self.equation!r} must be explicit")
        terms = left.split(",")
        require(len(terms) == len(inputs), f"{self.equation!r} with {len(inputs)} inputs")
        require(inputs[0].dtype.is_float, f"TensorRT has no Einsum of {inputs[0].dtype}")
        sizes: dict[str, Dim] = {}
        for term, input in zip(terms, inputs, strict=True):
            require(input.dtype == inputs[0].dtype, "inputs of one Einsum have one type")
            require(len(term) == input.rank, f"term {term!r} for {input}")
            for label, dim in zip(term, input.shape, strict=True):
                known = sizes.get(label, dim)
                require(same_dim(known, dim), f"label {label!r} is {known} and {dim}")
                sizes[label] = merge_dim(known, dim)
        return inputs[0].with_shape([sizes[label] for label in right])
