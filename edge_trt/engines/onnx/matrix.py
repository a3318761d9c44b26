# SPDX-License-Identifier: Apache-2.0
"""Emission of matrix products; those with a constant matrix become Gemm with its bias."""

from __future__ import annotations

from edge_trt.engines.onnx.dispatch import emit_layer
from edge_trt.engines.onnx.graph import Graph, Value
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Einsum, ElementWise, MatrixMultiply


@emit_layer.register(Einsum)
def _(layer: Einsum, graph: Graph, *inputs: Tensor) -> str:
    return graph.op("Einsum", *inputs, equation=layer.equation)


@emit_layer.register(MatrixMultiply)
def _(layer: MatrixMultiply, graph: Graph, input0: Tensor, input1: Tensor) -> str:
    if _is_linear(layer, input0, input1):
        return _linear(layer, graph, input0, input1)
    squeezed: list[int] = []
    left: Value = input0
    right: Value = input1
    if layer.op0 == "TRANSPOSE":
        left = _transpose(graph, input0)
    elif layer.op0 == "VECTOR":  # MatMul knows no batches of them, and ONNX Runtime fuses a
        # transposed matrix into a product with one as if it were not transposed
        left = graph.op("Unsqueeze", input0, graph.constant([-2]))
        squeezed.append(-2)
    if layer.op1 == "TRANSPOSE":
        right = _transpose(graph, input1)
    elif layer.op1 == "VECTOR":
        right = graph.op("Unsqueeze", input1, graph.constant([-1]))
        squeezed.append(-1)
    product = graph.op("MatMul", left, right)
    return graph.op("Squeeze", product, graph.constant(squeezed)) if squeezed else product


def _is_linear(layer: MatrixMultiply, input0: Tensor, input1: Tensor) -> bool:
    """Whether this is a product with one constant matrix, row by row."""
    operands_fit = layer.op0 == "NONE" and layer.op1 != "VECTOR" and input1.is_constant
    return operands_fit and all(d == 1 for d in input1.shape[:-2])


def _linear(layer: MatrixMultiply, graph: Graph, x: Tensor, matrix: Tensor) -> str:
    rows, columns = matrix.shape[-2:]
    assert isinstance(rows, int)
    assert isinstance(columns, int)
    weight = graph.weight(matrix, (rows, columns))
    outer = x.shape[:-1]
    inner, maps = (columns, rows) if layer.op1 == "TRANSPOSE" else (rows, columns)
    open_sizes = sum(isinstance(d, str) for d in outer)
    if (layer.op1 == "NONE" and len(outer) > 1) or open_sizes > 1:
        right = weight if layer.op1 == "NONE" else graph.op("Transpose", weight, perm=[1, 0])
        return graph.op("MatMul", x, right)
    # One large product over all rows; the bias is added while the result is in the cache.
    flat: Value = x
    if len(outer) > 1:
        flat = graph.op("Reshape", x, graph.constant([-1, inner]))
    product = graph.op(
        "Gemm", flat, weight, _take_bias(graph, maps), transB=int(layer.op1 == "TRANSPOSE")
    )
    if len(outer) == 1:
        return product
    sizes = [-1 if isinstance(d, str) else d for d in outer]
    return graph.op("Reshape", product, graph.constant([*sizes, maps]))


def _take_bias(graph: Graph, maps: int) -> str | None:
    """The bias that the following layer adds, which is then fused into this one."""
    (output,) = graph.node.outputs
    user = graph.only_user()
    if user is None or not isinstance(user.layer, ElementWise) or user.layer.op != "SUM":
        return None
    first, second = user.inputs
    bias = second if first is output else first
    if not bias.is_constant or bias.shape[-1:] != (maps,) or any(d != 1 for d in bias.shape[:-1]):
        return None
    if bias.dtype is not output.dtype:
        return None
    graph.fuse(user)
    return graph.weight(bias, (maps,))


def _transpose(graph: Graph, x: Tensor) -> str:
    order = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
    return graph.op("Transpose", x, perm=order)
