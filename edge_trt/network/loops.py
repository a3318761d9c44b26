# SPDX-License-Identifier: Apache-2.0
"""Writes loops down as a function of one step.

def step(inner, states, slices, others):
    (total,), (x,) = states, slices
    total = inner.elementwise("SUM", total, x)
    return [total], [total]

(last,), (running,) = loop(builder, "sum", step, [zero], [xs])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from edge_trt.network.builder import Builder
from edge_trt.network.graph import Network, Tensor
from edge_trt.network.layers import Loop

Step: TypeAlias = Callable[
    [Builder, list[Tensor], list[Tensor], list[Tensor]], tuple[list[Tensor], list[Tensor]]
]
"""(builder, states, slices, others) -> (next states, elements); all layers go to that builder."""


def loop(
    builder: Builder,
    name: str,
    step: Step,
    states: Sequence[Tensor],
    iterated: Sequence[Tensor],
    others: Sequence[Tensor] = (),
    *,
    reverse: bool = False,
) -> tuple[list[Tensor], list[Tensor]]:
    """Adds a loop over axis 0 of the iterated tensors; a single step is written out.

    Args:
        builder: where the loop goes.
        name: name of the body.
        step: what is done with each slice.
        states: the states before the first step.
        iterated: tensors of which every step gets a slice.
        others: what every step gets whole; constants among them become the body's own.
        reverse: whether the last slice comes first.

    Returns:
        The last states, and the elements of all steps stacked along axis 0.
    """
    if any(tensor.shape[0] == 1 for tensor in iterated):
        slices = [builder.squeeze(tensor, [0]) for tensor in iterated]
        after, elements = step(builder, list(states), slices, list(others))
        return after, [builder.unsqueeze(element, [0]) for element in elements]
    body = builder.network.body(name)
    inputs = [body.input(f"{name}.state", tensor.type) for tensor in states]
    slices = [
        body.input(f"{name}.slice", tensor.type.with_shape(tensor.shape[1:])) for tensor in iterated
    ]
    inside = [own_or_input(builder, body, tensor) for tensor in others]
    inner = Builder(body)
    after, elements = step(inner, inputs, slices, inside)
    for tensor in (*after, *elements):
        give(inner, tensor)
    varying = [tensor for tensor in others if not tensor.is_constant]
    layer = Loop(body, len(inputs), len(slices), reverse)
    results = builder.network.add_multi(layer, *states, *iterated, *varying)
    return list(results[: len(inputs)]), list(results[len(inputs) :])


def own_or_input(builder: Builder, body: Network, outer: Tensor) -> Tensor:
    """What stands in a body for a tensor from outside: a constant of its own, or an input."""
    if outer.data is not None:
        return builder.derived(outer, outer.data)
    return body.input(f"{body.name}.{outer.name}", outer.type)


def give(inner: Builder, tensor: Tensor) -> None:
    """Makes a tensor the next output of a body, which must have computed it."""
    if tensor.producer is None or tensor in inner.network.outputs:
        tensor = inner.identity(tensor)
    inner.network.outputs.append(tensor)
