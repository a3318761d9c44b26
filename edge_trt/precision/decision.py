# SPDX-License-Identifier: Apache-2.0
"""Which layers of a network stay float32: those that need it, and what has to go with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.layers import (
    Activation,
    Cast,
    Concatenation,
    Cumulative,
    Einsum,
    ElementWise,
    Fill,
    Gather,
    GridSample,
    Identity,
    MatrixMultiply,
    ParametricReLU,
    Reduce,
    Scale,
    Scatter,
    Select,
    Shuffle,
    Slice,
    TopK,
    Unary,
)
from edge_trt.precision.reasons import is_float32, is_square, own_reason

LIGHT = (Activation, Cast, ElementWise, ParametricReLU, Reduce, Scale, Select, Unary)
"""Layers that cost next to nothing in either type, since TensorRT fuses them."""

MOVING = (Concatenation, Gather, Identity, Scatter, Shuffle, Slice, TopK)
"""Layers whose results are elements of their inputs."""

BOUNDED = {"SIN", "COS", "TANH", "SIGMOID", "ERF", "LOG", "HARD_SIGMOID", "SOFTSIGN"}
"""Functions whose result float16 holds whatever the argument is."""

Keep = Callable[[Node], "str | None"]


class Decision:
    """`reasons` says for each layer that stays float32 why it does.

    A *precise* tensor holds numbers that float16 can't: sums, powers, counts, positions. Layers
    that work on nothing else stay float32 with it; where it meets ordinary data, that one layer
    does; a product with weights ends it.
    """

    def __init__(self, network: Network, keep: Keep) -> None:
        self.reasons: dict[Node, str] = {}
        self._users = network.users()
        self._outputs = set(network.outputs)
        self._precise: set[Tensor] = set()
        nodes = [n for n in network.nodes if any(map(is_float32, (*n.inputs, *n.outputs)))]
        for node in nodes:
            self._forward(node, keep(node), own_reason(node))
        for node in reversed(nodes):
            self._backward(node)
        self._between(nodes)

    def _forward(self, node: Node, wish: str | None, need: str | None) -> None:
        known = [t in self._precise for t in _data(node)]
        reason = need or wish
        if need and isinstance(node.layer, (*LIGHT, Cumulative, Fill)):
            self._precise.update(_without_bounds(node))
        elif any(known) and isinstance(node.layer, (*LIGHT, *MOVING)):
            if all(known):
                reason = reason or "computes on numbers that float16 can't hold"
                self._precise.update(_without_bounds(node))
            elif isinstance(node.layer, LIGHT):
                reason = reason or "meets numbers that float16 can't hold"
        elif known and all(known) and _is_outer_product(node):
            reason = reason or "computes on numbers that float16 can't hold"
            self._precise.update(node.outputs)
        if reason:
            self.reasons[node] = reason

    def _backward(self, node: Node) -> None:
        """Keeps what leads to sums of squares, to integers and to sampling positions only."""
        if node in self.reasons or not isinstance(node.layer, (*LIGHT, *MOVING)):
            return
        tensors = [t for t in node.outputs if is_float32(t)]
        uses = [(user, t) for t in tensors for user in self._users.get(t, [])]
        if not uses or self._outputs & set(tensors):
            return
        if all(_wants_digits(user, t) or self._leads_on(user) for user, t in uses):
            self.reasons[node] = "leads to integers or to sampling positions"
        elif is_square(tensors[0]) and all(user in self.reasons for user, _ in uses):
            self.reasons[node] = "squares are summed"

    def _leads_on(self, user: Node) -> bool:
        return self.reasons.get(user, "").startswith("leads to")

    def _between(self, nodes: Iterable[Node]) -> None:
        """Keeps layers with nothing but float32 layers before and after: no cast is needed."""
        found = {
            n for n in nodes if n not in self.reasons and isinstance(n.layer, (*LIGHT, *MOVING))
        }
        while True:
            lost = {n for n in found if not self._is_between(n, found)}
            if not lost:
                break
            found -= lost
        self.reasons.update((n, "lies between layers in float32") for n in nodes if n in found)

    def _is_between(self, node: Node, found: set[Node]) -> bool:
        def stays(other: Node) -> bool:
            return other in self.reasons or other in found

        sources = [t.producer for t in _data(node)]
        results = [t for t in node.outputs if is_float32(t)]
        users = [user for t in results for user in self._users.get(t, [])]
        before = bool(sources) and all(p is not None and stays(p) for p in sources)
        return before and bool(results) and all(map(stays, users))


def _data(node: Node) -> list[Tensor]:
    """The float32 inputs that are not known at compile time."""
    return [t for t in node.inputs if is_float32(t) and not t.is_constant]


def _without_bounds(node: Node) -> list[Tensor]:
    """The results, unless the layer brings them into a range that float16 holds."""
    layer = node.layer
    name = layer.op if isinstance(layer, Unary) else getattr(layer, "type", "")
    return [] if name in BOUNDED else [t for t in node.outputs if is_float32(t)]


def _wants_digits(user: Node, tensor: Tensor) -> bool:
    if isinstance(user.layer, GridSample):
        return user.inputs[1] is tensor
    return isinstance(user.layer, Cast) and user.layer.to_type.is_integer


def _is_outer_product(node: Node) -> bool:
    """Whether a product adds nothing up, as angles from positions and frequencies do not."""
    layer = node.layer
    if isinstance(layer, Einsum):
        left, _, right = layer.equation.partition("->")
        return set(left.replace(",", "")) == set(right)
    if not isinstance(layer, MatrixMultiply):
        return False
    return node.inputs[0].shape[-2 if layer.op0 == "TRANSPOSE" else -1] == 1
