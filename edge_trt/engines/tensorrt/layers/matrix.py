# SPDX-License-Identifier: Apache-2.0
"""Emission of matrix products."""

from __future__ import annotations

from typing import Any

from edge_trt.engines.tensorrt.dispatch import emit_layer
from edge_trt.engines.tensorrt.emitter import Emitter
from edge_trt.network.graph import Node
from edge_trt.network.layers import Einsum, MatrixMultiply


@emit_layer.register(MatrixMultiply)
def _(layer: MatrixMultiply, emitter: Emitter, node: Node) -> Any:
    a, b = emitter.inputs(node)
    op0, op1 = (emitter.enum("MatrixOperation", op) for op in (layer.op0, layer.op1))
    return emitter.add("add_matrix_multiply", a, op0, b, op1)


@emit_layer.register(Einsum)
def _(layer: Einsum, emitter: Emitter, node: Node) -> Any:
    return emitter.add("add_einsum", emitter.inputs(node), layer.equation)
