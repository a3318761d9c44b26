# SPDX-License-Identifier: Apache-2.0
"""Emission of reductions, top-k and running sums."""

from __future__ import annotations

from typing import Any

from edge_trt.engines.tensorrt.datatypes import axes_mask
from edge_trt.engines.tensorrt.dispatch import emit_layer
from edge_trt.engines.tensorrt.emitter import Emitter
from edge_trt.network.graph import Node
from edge_trt.network.layers import Cumulative, Reduce, TopK
from edge_trt.network.types import DType


@emit_layer.register(Reduce)
def _(layer: Reduce, emitter: Emitter, node: Node) -> Any:
    op = emitter.enum("ReduceOperation", layer.op)
    (x,) = emitter.inputs(node)
    return emitter.add("add_reduce", x, op, axes_mask(layer.axes), layer.keep_dims)


@emit_layer.register(TopK)
def _(layer: TopK, emitter: Emitter, node: Node) -> Any:
    op = emitter.enum("TopKOperation", layer.op)
    x, *count = emitter.inputs(node)
    added = emitter.add("add_topk", x, op, layer.k or 1, axes_mask([layer.axis]))
    for k in count:
        added.set_input(1, k)
    return added


@emit_layer.register(Cumulative)
def _(layer: Cumulative, emitter: Emitter, node: Node) -> Any:
    if not emitter.has("add_cumulative"):
        return _doubling(layer, emitter, node)
    (x,) = emitter.inputs(node)
    axis = emitter.number(layer.axis, DType.INT32)
    op = emitter.enum("CumulativeOperation", "SUM")
    return emitter.add("add_cumulative", x, axis, op, layer.exclusive, layer.reverse)


def _doubling(layer: Cumulative, emitter: Emitter, node: Node) -> Any:
    """A running sum for TensorRT 10.3: x plus itself moved by 1, then by 2, 4, 8, ...

    Exact for integers, and n elements take log2(n) additions of whole tensors. What moves in from
    outside is the 0 of a slice in FILL mode.
    """
    (x,) = emitter.inputs(node)
    size, dtype = node.inputs[0].shape[layer.axis], node.inputs[0].dtype
    if not isinstance(size, int):
        emitter.refuse(
            f"a running sum along axis {layer.axis}, whose size is {size}, needs TensorRT 10.5 or a"
            " fixed size"
        )
    zero = emitter.number(0, dtype)
    add = emitter.enum("ElementWiseOperation", "SUM")

    def moved(tensor: Any, distance: int) -> Any:
        start = distance if layer.reverse else -distance
        window = [emitter.dims([n]) for n in (start, size, 1)]
        added = emitter.add("add_slice", tensor, *window)
        added.axes = emitter.dims([layer.axis])
        added.mode = emitter.enum("SampleMode", "FILL")
        added.set_input(4, zero)
        return added

    added, distance = None, 1
    while distance < size:
        added = emitter.add("add_elementwise", x, moved(x, distance).get_output(0), add)
        x, distance = added.get_output(0), 2 * distance
    if layer.exclusive:
        return moved(x, 1)
    return added or emitter.add("add_identity", x)
