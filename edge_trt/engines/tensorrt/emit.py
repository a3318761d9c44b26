# SPDX-License-Identifier: Apache-2.0
"""A network as a TensorRT network definition, strongly typed, checked tensor by tensor.

Layers carry our node names, tensors our tensor names, and `metadata` the PyTorch module and source
line, so that TensorRT's own reports speak of the model. After each layer its outputs are compared
with what the network says; the first difference is an error that names the layer.

Inputs and outputs keep the network's names and types: TensorRT takes every type a network can have
there, bool, uint8 and int64 included, and 0-d and 1-d tensors too. Inside, int32 carries uint8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import edge_trt.engines.tensorrt.layers  # noqa: F401  (registers the layer kinds)
from edge_trt.engines.tensorrt.emitter import Emitter
from edge_trt.engines.tensorrt.nodes import emit_nodes
from edge_trt.errors import BuildError
from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.types import UNKNOWN, DType
from edge_trt_runtime.tensorrt.messages import Messages


@dataclass(frozen=True, slots=True)
class Emitted:
    """A TensorRT network with the way back to ours.

    Attributes:
        definition: The `INetworkDefinition`.
        inputs: TensorRT's tensor of each network input.
        tensors: TensorRT's tensor of each tensor of the network.
        layers: Node that each TensorRT layer came from, by layer name.
        keep: Arrays that TensorRT holds by address; keep them until the build is over.
    """

    definition: Any
    inputs: dict[Tensor, Any]
    tensors: dict[Tensor, Any]
    layers: dict[str, Node]
    keep: list[np.ndarray]


def emit(network: Network, trt: Any, definition: Any, messages: Messages | None = None) -> Emitted:
    """Adds a network's layers to an empty, strongly typed TensorRT network.

    Args:
        network: What to emit.
        trt: The TensorRT module.
        definition: The `INetworkDefinition` to fill.
        messages: Where the builder's error recorder puts its texts, for errors with a reason.

    Raises:
        BuildError: TensorRT refuses a layer, or sees another type in it than the network does.
    """
    definition.name = network.name
    emitter = Emitter(network, trt, definition, messages or Messages())
    inputs = {tensor: _input(emitter, tensor) for tensor in network.inputs}
    for tensor, added in inputs.items():
        known = emitter.bytes if tensor.dtype is DType.UINT8 else emitter.tensors
        known[tensor] = added
    emit_nodes(emitter, network)
    _mark_outputs(network, emitter)
    return Emitted(definition, inputs, emitter.tensors, emitter.layers, emitter.keep)


def _input(emitter: Emitter, tensor: Tensor) -> Any:
    kind, shape = emitter.type(tensor.dtype), emitter.dims(tensor.shape)
    added = emitter.definition.add_input(tensor.name, kind, shape)
    if added is None:
        reason = "; ".join(emitter.messages.take())
        raise BuildError(f"TensorRT refuses input {tensor!r}: {reason}")
    for axis, size in enumerate(tensor.shape):
        if isinstance(size, str) and size != UNKNOWN:
            added.set_dimension_name(axis, size)
    return added


def _mark_outputs(network: Network, emitter: Emitter) -> None:
    for tensor in network.outputs:
        emitter.definition.mark_output(emitter.result(tensor))
        if emitter.messages.texts:
            reason = "; ".join(emitter.messages.take())
            raise BuildError(f"TensorRT refuses output {tensor!r} of {network.name}: {reason}")
