# SPDX-License-Identifier: Apache-2.0
"""The layers of a network, or of a body in it, added one by one and checked."""

from __future__ import annotations

from edge_trt.engines.tensorrt.dispatch import emit_layer
from edge_trt.engines.tensorrt.emitter import Emitter
from edge_trt.errors import BuildError
from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.types import UNKNOWN


def emit_nodes(emitter: Emitter, network: Network) -> None:
    """Adds the layers of a network whose inputs the emitter knows.

    Raises:
        BuildError: TensorRT refuses a layer, or sees another type in it than the network does.
    """
    for node in network.nodes:
        emitter.begin(node)
        emitter.finish(node, emit_layer(node.layer, emitter, node))
        for tensor in node.outputs:
            _check(emitter, node, tensor)
        if emitter.messages.texts:  # an attribute that TensorRT did not take
            emitter.refuse()


def _check(emitter: Emitter, node: Node, tensor: Tensor) -> None:
    """Compares TensorRT's view of a tensor with ours.

    TensorRT may know less of a size (-1), and more of one that we don't know (`?`). A size that
    has a name must be open in TensorRT too, or the plan would serve one size only.
    """
    output = emitter.tensors[tensor]
    try:
        shape = tuple(output.shape)
    except (RuntimeError, ValueError):  # how the bindings report an invalid layer
        emitter.refuse()
    same_rank = len(shape) == tensor.rank
    if same_rank and output.dtype == emitter.type(emitter.carrier(tensor.dtype)):
        pairs = zip(tensor.shape, shape, strict=True)
        if all(theirs == -1 or ours in (theirs, UNKNOWN) for ours, theirs in pairs):
            return
    theirs = f"{output.dtype}{list(shape)}".removeprefix("DataType.")
    raise BuildError(
        f"layer {node.name} = {node.layer} ({node.origin}) gives {tensor.type}, but TensorRT"
        f" makes {theirs} of it",
        layer=node.name,
        module=node.origin.module,
    )
