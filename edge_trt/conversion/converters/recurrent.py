# SPDX-License-Identifier: Apache-2.0
"""Recurrent networks: loops over time, with the product of all inputs outside the loop.

The layers of a cell are ordinary ones, so that precision and printing see them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import converter
from edge_trt.network.builder import Builder
from edge_trt.network.graph import Tensor
from edge_trt.network.loops import loop

aten = torch.ops.aten

Cell = Callable[[Builder, Tensor, list[Tensor], "Weights"], list[Tensor]]
"""(builder, products of the input, states, weights) -> states; the first one is the output."""


@dataclass(frozen=True)
class Weights:
    """Parameters of one direction of one layer, as PyTorch stores them, gates stacked."""

    inputs: Tensor
    hidden: Tensor
    input_bias: Tensor | None = None
    hidden_bias: Tensor | None = None
    projection: Tensor | None = None


def lstm_step(inner: Builder, x: Tensor, states: list[Tensor], weights: Weights) -> list[Tensor]:
    """Gates in PyTorch's order: input, forget, cell, output."""
    hidden, memory = states
    gates = inner.elementwise("SUM", x, _product(inner, hidden, weights))
    size = int(memory.shape[-1])
    parts = [inner.slice(gates, -1, place * size, size) for place in range(4)]
    i, f, o = (inner.activation("SIGMOID", parts[place]) for place in (0, 1, 3))
    g = inner.activation("TANH", parts[2])
    kept = inner.elementwise("PROD", f, memory)
    memory = inner.elementwise("SUM", kept, inner.elementwise("PROD", i, g))
    hidden = inner.elementwise("PROD", o, inner.activation("TANH", memory))
    if weights.projection is not None:
        hidden = inner.matmul(hidden, weights.projection, transpose_b=True)
    return [hidden, memory]


def gru_step(inner: Builder, x: Tensor, states: list[Tensor], weights: Weights) -> list[Tensor]:
    """Gates in PyTorch's order: reset, update, new; the bias of the new one is reset too."""
    (hidden,) = states
    size = int(hidden.shape[-1])
    product = _product(inner, hidden, weights)
    both = (inner.slice(t, -1, 0, 2 * size) for t in (x, product))
    gates = inner.activation("SIGMOID", inner.elementwise("SUM", *both))
    reset, update = (inner.slice(gates, -1, place * size, size) for place in (0, 1))
    own, recurrent = (inner.slice(t, -1, 2 * size, size) for t in (x, product))
    recurrent = inner.elementwise("PROD", reset, recurrent)
    new = inner.activation("TANH", inner.elementwise("SUM", own, recurrent))
    change = inner.elementwise("PROD", update, inner.elementwise("SUB", hidden, new))
    return [inner.elementwise("SUM", new, change)]


def tanh_step(inner: Builder, x: Tensor, states: list[Tensor], weights: Weights) -> list[Tensor]:
    total = inner.elementwise("SUM", x, _product(inner, states[0], weights))
    return [inner.activation("TANH", total)]


def relu_step(inner: Builder, x: Tensor, states: list[Tensor], weights: Weights) -> list[Tensor]:
    total = inner.elementwise("SUM", x, _product(inner, states[0], weights))
    return [inner.activation("RELU", total)]


def _product(inner: Builder, hidden: Tensor, weights: Weights) -> Tensor:
    product = inner.matmul(hidden, weights.hidden, transpose_b=True)
    bias = weights.hidden_bias
    return product if bias is None else inner.elementwise("SUM", product, bias)


def _of_inputs(ctx: Builder, x: Tensor, weights: Weights) -> Tensor:
    """The products of the inputs of all steps at once."""
    product = ctx.matmul(x, weights.inputs, transpose_b=True)
    bias = weights.input_bias
    return product if bias is None else ctx.elementwise("SUM", product, bias)


# -- whole sequences ---------------------------------------------------------------------------


def _sequence_ok(dropout: float, train: bool) -> str | None:
    if train and dropout:
        return "it drops values between its layers: call model.eval() before export"
    return None


def _direction(
    ctx: Context, cell: Cell, x: Tensor, states: list[Tensor], weights: Weights, *, reverse: bool
) -> tuple[Tensor, list[Tensor]]:
    """One direction of one layer: its output at each step, and the states after the last one."""
    names = ("hidden", "hidden_bias", "projection")
    present = [name for name in names if getattr(weights, name) is not None]

    def step(
        inner: Builder, states: list[Tensor], slices: list[Tensor], others: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        own = replace(weights, **dict(zip(present, others, strict=True)))
        after = cell(inner, slices[0], states, own)
        return after, [after[0]]

    name = f"{ctx.network.origin.node or 'recurrence'}.step"
    others = [getattr(weights, name) for name in present]
    products = _of_inputs(ctx, x, weights)
    last, (output,) = loop(ctx, name, step, states, [products], others, reverse=reverse)
    return output, last


def _sequence(
    ctx: Context,
    cell: Cell,
    x: Tensor,
    initial: Sequence[Tensor],
    params: Sequence[Tensor],
    layout: tuple[bool, int, bool, bool],
) -> tuple[Tensor, ...]:
    """All layers and directions; `layout` is has_biases, num_layers, bidirectional, batch_first."""
    has_biases, layers, bidirectional, batch_first = layout
    x = ctx.permute(x, (1, 0, 2)) if batch_first else x
    directions = 2 if bidirectional else 1
    each = len(params) // (layers * directions)
    finals: list[list[Tensor]] = []
    for layer in range(layers):
        outputs: list[Tensor] = []
        for direction in range(directions):
            place = layer * directions + direction
            weights = _weights(params[place * each : (place + 1) * each], has_biases)
            states = [_state(ctx, state, place) for state in initial]
            output, last = _direction(ctx, cell, x, states, weights, reverse=direction == 1)
            outputs.append(output)
            finals.append(last)
        x = ctx.concat(outputs, 2)
    x = ctx.permute(x, (1, 0, 2)) if batch_first else x
    stacked = [ctx.concat([ctx.unsqueeze(t, [0]) for t in kind], 0) for kind in zip(*finals)]  # noqa: B905
    return (x, *stacked)


def _weights(params: Sequence[Tensor], has_biases: bool) -> Weights:
    named = Weights(params[0], params[1])
    if has_biases:
        named = replace(named, input_bias=params[2], hidden_bias=params[3])
    return replace(named, projection=params[-1]) if len(params) in (3, 5) else named


def _state(ctx: Context, initial: Tensor, place: int) -> Tensor:
    """[batch, size]: the initial state of one direction of one layer."""
    if initial.data is not None:
        return ctx.derived(initial, initial.data[place])
    return ctx.take(initial, 0, place)


@converter(aten.lstm.input, when=_sequence_ok, note="no dropout")
def lstm(
    ctx: Context, input: Tensor, hx: list[Tensor], params: list[Tensor], has_biases: bool,
    num_layers: int, bidirectional: bool, batch_first: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    layout = (has_biases, num_layers, bidirectional, batch_first)
    return _sequence(ctx, lstm_step, input, hx, params, layout)


CELLS = {
    aten.gru.input: gru_step,
    aten.rnn_tanh.input: tanh_step,
    aten.rnn_relu.input: relu_step,
}


def _register(overload: object, cell: Cell) -> None:
    @converter(overload, when=_sequence_ok, note="no dropout")
    def recurrent(
        ctx: Context, input: Tensor, hx: Tensor, params: list[Tensor], has_biases: bool,
        num_layers: int, bidirectional: bool, batch_first: bool,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        layout = (has_biases, num_layers, bidirectional, batch_first)
        return _sequence(ctx, cell, input, [hx], params, layout)


for overload, cell in CELLS.items():
    _register(overload, cell)
