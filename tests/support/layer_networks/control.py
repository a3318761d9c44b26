# SPDX-License-Identifier: Apache-2.0
"""Networks with loops and conditionals."""

from __future__ import annotations

from collections.abc import Callable

from edge_trt.network.builder import Builder
from edge_trt.network.graph import Network, Tensor
from edge_trt.network.layers import IfConditional
from edge_trt.network.loops import give, loop
from tests.support.layer_networks.case import Case, Make, values

Branch = Callable[[Builder, Tensor], Tensor]


def _cell(inner: Builder, states: list[Tensor], slices: list[Tensor], others: list[Tensor]):
    """A plain recurrent cell, which also gives the state before the step."""
    (state,), (x,), (weight,) = states, slices, others
    product = inner.matmul(state, weight)
    after = inner.activation("TANH", inner.elementwise("SUM", product, x))
    return [after], [after, state]


def _recurrent(*, reverse: bool = False, constant: bool = True) -> Make:
    def make(net: Network, x: Tensor, state: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        weight = net.constant(values((4, 4)), "weight") if constant else rest[0]
        states, elements = loop(
            Builder(net), "cell", _cell, [state], [x], [weight], reverse=reverse
        )
        return (*states, *elements)

    return make


def _stateless(net: Network, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    def step(inner: Builder, _: list[Tensor], slices: list[Tensor], others: list[Tensor]):
        return [], [inner.elementwise("SUM", *slices)]

    return tuple(loop(Builder(net), "sums", step, [], [x, y])[1])


def _nested(net: Network, x: Tensor, state: Tensor) -> tuple[Tensor, ...]:
    """For each row, a running sum of its elements that the next row goes on with."""

    def inside(inner: Builder, states: list[Tensor], slices: list[Tensor], _: list[Tensor]):
        total = inner.elementwise("SUM", states[0], slices[0])
        return [total], [total]

    def outside(inner: Builder, states: list[Tensor], slices: list[Tensor], _: list[Tensor]):
        return loop(inner, "inside", inside, states, slices)

    states, elements = loop(Builder(net), "outside", outside, [state], [x])
    return (*states, *elements)


def branches(net: Network, condition: Tensor, then: Branch, other: Branch, x: Tensor) -> Tensor:
    """`then(x)` or `other(x)` as one conditional."""
    bodies: list[Network] = []
    for name, branch in (("then", then), ("otherwise", other)):
        body = net.body(name)
        inner = Builder(body)
        give(inner, branch(inner, body.input(f"{name}.x", x.type)))
        bodies.append(body)
    return net.add(IfConditional(*bodies), condition, x)


def _product(inner: Builder, x: Tensor) -> Tensor:
    return inner.matmul(x, inner.constant(values((4, 4), x.dtype.numpy), name="weight"))


def _same(inner: Builder, x: Tensor) -> Tensor:
    return x


def _twice(inner: Builder, x: Tensor) -> Tensor:
    return inner.elementwise("SUM", x, x)


def _condition(inner: Builder, x: Tensor) -> Tensor:
    """Whether the sum of x is positive."""
    total = inner.reduce("SUM", x, range(x.rank), keep_dims=False)
    return inner.elementwise("GREATER", total, 0)


def _conditional(then: Branch, other: Branch) -> Make:
    return lambda net, condition, x: branches(net, condition, then, other, x)


def _inner_conditional(inner: Builder, x: Tensor) -> Tensor:
    return branches(inner.network, _condition(inner, x), _product, _same, x)


def _conditional_in_loop(net: Network, x: Tensor, state: Tensor) -> tuple[Tensor, ...]:
    def step(inner: Builder, states: list[Tensor], slices: list[Tensor], _: list[Tensor]):
        total = inner.elementwise("SUM", states[0], slices[0])
        after = branches(inner.network, _condition(inner, total), _product, _twice, total)
        return [after], [after]

    states, elements = loop(Builder(net), "steps", step, [state], [x])
    return (*states, *elements)


SEQUENCE = ("float32[N, 3, 4]", "float32[3, 4]")

# TensorRT-RTX 1.7 fails to build a conditional inside a conditional when sizes are open.
CONTROL = [
    Case("loop", SEQUENCE, _recurrent()),
    Case("loop_reverse", SEQUENCE, _recurrent(reverse=True)),
    Case("loop_batch", ("float32[5, N, 4]", "float32[N, 4]"), _recurrent()),
    Case("loop_weight", (*SEQUENCE, "float32[4, 4]"), _recurrent(constant=False)),
    Case("loop_stateless", ("int32[N, 4]", "int32[N, 4]"), _stateless),
    Case("loop_nested", ("float32[N, 3, 4]", "float32[4]"), _nested),
    Case("loop_conditional", SEQUENCE, _conditional_in_loop),
    Case("conditional", ("bool[]", "float32[N, 4]"), _conditional(_product, _same)),
    Case("conditional_half", ("bool[]", "float16[N, 4]"), _conditional(_twice, _product)),
    Case("conditional_int32", ("bool[]", "int32[N, 4]"), _conditional(_twice, _same)),
    Case(
        "conditional_nested", ("bool[]", "float32[3, 4]"), _conditional(_inner_conditional, _twice)
    ),
]
