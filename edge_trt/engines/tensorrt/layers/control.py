# SPDX-License-Identifier: Apache-2.0
"""Emission of loops and conditionals, whose bodies' layers lie in the network like all others.

What belongs to a loop or branch is found by TensorRT from what the layers at its boundary read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_trt.engines.tensorrt.dispatch import emit_layer
from edge_trt.engines.tensorrt.emitter import Emitter
from edge_trt.engines.tensorrt.nodes import emit_nodes
from edge_trt.network.graph import Network, Node
from edge_trt.network.layers import IfConditional, Loop
from edge_trt.network.types import Dim, DType


@emit_layer.register(Loop)
def _(layer: Loop, emitter: Emitter, node: Node) -> list[Any]:
    first, last = layer.states, layer.states + layer.iterated
    inputs = emitter.inputs(node)
    loop = emitter.boundary("add_loop", node)
    steps = _steps(emitter, node.inputs[first].shape[0], inputs[first])
    emitter.added(loop.add_trip_limit(steps, emitter.enum("TripLimit", "COUNT")))
    states = [emitter.added(loop.add_recurrence(x)) for x in inputs[:first]]
    slices = [emitter.added(loop.add_iterator(x, 0, layer.reverse)) for x in inputs[first:last]]
    begun = [added.get_output(0) for added in (*states, *slices)]
    results = _run(emitter, layer.body, [*begun, *inputs[last:]])
    for state, result in zip(states, results, strict=False):
        state.set_input(1, result)
    kind = emitter.enum("LoopOutput", "LAST_VALUE")
    outputs = [emitter.added(loop.add_loop_output(x, kind)) for x in begun[:first]]
    kind = emitter.enum("LoopOutput", "REVERSE" if layer.reverse else "CONCATENATE")
    for result in results[first:]:
        outputs.append(emitter.added(loop.add_loop_output(result, kind, 0)))
        outputs[-1].set_input(1, steps)
    return outputs


def _steps(emitter: Emitter, count: Dim, iterated: Any) -> Any:
    """How often a loop runs, a 0-d int32: TensorRT 10.3 takes no int64 there."""
    if isinstance(count, int):
        return emitter.number(count, DType.INT32)
    sizes = emitter.add("add_shape", iterated).get_output(0)
    size = emitter.add("add_gather", sizes, emitter.number(0, DType.INT64), 0).get_output(0)
    return emitter.add("add_cast", size, emitter.type(DType.INT32)).get_output(0)


@emit_layer.register(IfConditional)
def _(layer: IfConditional, emitter: Emitter, node: Node) -> list[Any]:
    condition, *inputs = emitter.inputs(node)
    conditional = emitter.boundary("add_if_conditional", node)
    emitter.added(conditional.set_condition(condition))
    begun = [emitter.added(conditional.add_input(x)).get_output(0) for x in inputs]
    then, otherwise = (_run(emitter, body, begun) for body in layer.bodies.values())
    pairs = zip(then, otherwise, strict=True)
    return [emitter.added(conditional.add_output(a, b)) for a, b in pairs]


def _run(emitter: Emitter, body: Network, inputs: Sequence[Any]) -> list[Any]:
    """Adds the layers of a body and returns its outputs."""
    emitter.tensors.update(zip(body.inputs, inputs, strict=True))
    with emitter.nested():
        emit_nodes(emitter, body)
    return [emitter.tensor(tensor) for tensor in body.outputs]
