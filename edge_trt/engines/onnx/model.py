# SPDX-License-Identifier: Apache-2.0
"""A whole network as an ONNX model."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import GraphProto, ModelProto, OperatorSetIdProto

# Importing a family registers its functions.
from edge_trt.engines.onnx import (  # noqa: F401
    control,
    convolution,
    elementwise,
    index,
    matrix,
    normalization,
    pooling,
    quantization,
    reduction,
    resampling,
    shape,
    slicing,
)
from edge_trt.engines.onnx.dispatch import emit_layer
from edge_trt.engines.onnx.graph import Graph, Locate, value_info
from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.layer import Layer
from edge_trt.network.layers import (
    Cast,
    ElementWise,
    IfConditional,
    Loop,
    Quantize,
    Reduce,
    TopK,
    Unary,
)
from edge_trt.network.types import DType, TensorType

OPSET = 20
"""The first with Gelu; ONNX Runtime 1.17 and later run it."""

IR_VERSION = 9
"""The oldest that goes with the operator set."""

_DEFAULT = {DType.BFLOAT16: DType.FLOAT32}
_NARROW = {**_DEFAULT, DType.INT8: DType.INT32, DType.UINT8: DType.INT32}
COMPUTED_AS: dict[type[Layer], dict[DType, DType]] = {
    Cast: {},
    ElementWise: _NARROW,
    IfConditional: {},
    Loop: {},
    Quantize: {**_DEFAULT, DType.FLOAT16: DType.FLOAT32},
    Reduce: _NARROW,
    TopK: _NARROW,
    Unary: _NARROW,
}
"""Types without a kernel in ONNX Runtime, by layer kind, and what is computed instead."""


def emit(
    network: Network, locate: Locate | None = None, *, outputs: Sequence[Tensor] | None = None
) -> ModelProto:
    """The network as an ONNX model with the same names of inputs, values, outputs and layers.

    Args:
        network: a network that passes `verify`.
        locate: where each constant's bytes lie; without it, all are copied into the model, which
            protobuf limits to 2 GB.
        outputs: results of layers to give instead of the network's outputs.

    Returns:
        The model; each operator's doc_string tells the module and line it comes from.
    """
    chosen = network.outputs if outputs is None else list(outputs)
    graph = Graph(network, locate, chosen, _emit_nodes)
    proto = _emit_nodes(graph, network, chosen)
    proto.initializer.extend(graph.initializers)
    model = ModelProto(ir_version=IR_VERSION, producer_name="edge_trt", graph=proto)
    model.opset_import.append(OperatorSetIdProto(domain="", version=OPSET))
    return model


def _emit_nodes(graph: Graph, network: Network, outputs: Sequence[Tensor]) -> GraphProto:
    """The nodes of a network, or of a body; initializers are left to the whole model."""
    for node in network.nodes:
        if id(node) not in graph.fused:
            _emit_node(graph, node)
    proto = GraphProto(name=network.name)
    proto.node.extend(graph.nodes)
    proto.input.extend(value_info(t.name, t.dtype, t.shape) for t in network.inputs)
    proto.output.extend(value_info(t.name, t.dtype, t.shape) for t in outputs)
    return proto


def _emit_node(graph: Graph, node: Node) -> None:
    graph.begin(node)
    computed_as = COMPUTED_AS.get(type(node.layer), _DEFAULT)
    inputs = tuple(_substitute(graph, t, computed_as) for t in node.inputs)
    outcome = emit_layer(node.layer, graph, *inputs)
    names = outcome if isinstance(outcome, tuple) else (graph.name(outcome),)
    if inputs != node.inputs:
        names = _restore(graph, node, inputs, names)
    graph.finish(names)


def _substitute(graph: Graph, x: Tensor, computed_as: dict[DType, DType]) -> Tensor:
    dtype = computed_as.get(x.dtype)
    return x if dtype is None else Tensor(graph.cast(x, dtype), x.type.with_dtype(dtype))


def _restore(
    graph: Graph, node: Node, inputs: tuple[Tensor, ...], names: tuple[str, ...]
) -> tuple[str, ...]:
    """Casts results that came out in a substitute type back to what the network says."""
    types = node.layer.infer(*(t.type for t in inputs))
    found = (types,) if isinstance(types, TensorType) else types
    return tuple(
        name if inferred.dtype == tensor.dtype else graph.cast(name, tensor.dtype)
        for name, inferred, tensor in zip(names, found, node.outputs, strict=True)
    )
