# SPDX-License-Identifier: Apache-2.0
"""Rebuilds a network node by node; names, origins and constants stay what they are.

    def halve(rewriter: Rewriter, node: Node) -> Sequence[Tensor] | None:
        if node.layer != Activation("RELU"):
            return None                                   # copied as it is
        return rewriter.copy(node, layer=Activation("TANH"))

    network = rewrite(network, halve)

The old network is left alone: tensors that layers compute are new, constants are shared. Bodies of
loops and conditionals are rewritten with the same rule, before the layer that runs them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from edge_trt.network.graph import Network, NetworkError, Node, Origin, Tensor
from edge_trt.network.layer import Layer
from edge_trt.network.layers import Identity
from edge_trt.network.types import ShapeError, TensorType


class Rewriter:
    """A network under reconstruction. `network` is the new one."""

    def __init__(self, source: Network, parent: Network | None = None) -> None:
        """Starts with the inputs of `source`, a body of what becomes `parent` if that is given."""
        self.source = source
        self.network = Network(source.name)
        if parent is not None:
            self.network = parent.body(source.name)
            self.network.name = source.name
        self.network.reserve(_names(source))
        self._tensors: dict[Tensor, Tensor] = {t: t for t in source.constants()}
        for tensor in source.inputs:
            self._tensors[tensor] = Tensor(tensor.name, tensor.type)
            self.network.inputs.append(self._tensors[tensor])

    def __getitem__(self, tensor: Tensor) -> Tensor:
        """What stands for a tensor of the old network."""
        return self._tensors[tensor]

    def replace(self, tensor: Tensor, replacement: Tensor) -> None:
        """From now on `replacement` stands for a tensor of the old network."""
        self._tensors[tensor] = replacement

    def inputs(self, node: Node) -> tuple[Tensor, ...]:
        """What stands for the inputs of a node of the old network."""
        return tuple(self._tensors[t] for t in node.inputs)

    def copy(
        self,
        node: Node,
        inputs: Sequence[Tensor] | None = None,
        *,
        layer: Layer | None = None,
        names: Sequence[str] | None = None,
    ) -> tuple[Tensor, ...]:
        """Appends a copy of a node, with other inputs, layer or names of results if given.

        Element types follow from the inputs; shapes stay as they were.

        Raises:
            NetworkError: the layer does not accept these inputs.
        """
        layer = layer or node.layer
        inputs = self.inputs(node) if inputs is None else tuple(inputs)
        try:
            types = layer.infer(*(t.type for t in inputs))
        except ShapeError as error:
            raise NetworkError(f"layer {node.name} ({node.origin}): {error}") from error
        found = (types,) if isinstance(types, TensorType) else types
        self.network.reserve(names or ())
        outputs = tuple(
            Tensor(name, old.type.with_dtype(type_.dtype))
            for name, old, type_ in zip(
                names or [t.name for t in node.outputs], node.outputs, found, strict=True
            )
        )
        self.network.append(Node(node.name, layer, tuple(inputs), outputs, node.origin))
        return outputs

    def with_bodies(self, node: Node, change: Callable[[Rewriter, Node], Network]) -> Node:
        """The node with changed bodies: `change` finishes the rewriter of each."""
        bodies = node.layer.bodies
        if not bodies:
            return node
        changed: Any = {a: change(Rewriter(b, self.network), node) for a, b in bodies.items()}
        return dataclasses.replace(node, layer=dataclasses.replace(node.layer, **changed))  # type: ignore[type-var]

    def insert(self, layer: Layer, *inputs: Tensor, name: str, origin: Origin) -> Tensor:
        """Appends a layer that the old network does not have."""
        self.network.origin = origin
        return self.network.add(layer, *inputs, name=name)

    def constant(self, array: np.ndarray, name: str) -> Tensor:
        """A constant that the old network does not have."""
        return self.network.constant(array, name)

    def finish(self) -> Network:
        """Marks the outputs, under their old names, and returns the new network."""
        self.network.origin = Origin()
        for old in self.source.outputs:
            self._mark(self._tensors[old], old)
        return self.network

    def _mark(self, tensor: Tensor, old: Tensor) -> None:
        taken = any(t is tensor for t in self.network.outputs)
        if tensor.producer is None or taken:
            origin = old.producer.origin if old.producer else Origin()
            tensor = self.insert(Identity(), tensor, name=old.name, origin=origin)
        self.network.mark_output(tensor, old.name)


Rule: TypeAlias = Callable[[Rewriter, Node], Sequence[Tensor] | None]
"""Gives what stands for a node's results, or None to copy the node."""


def rewrite(network: Network, rule: Rule) -> Network:
    """A new network in which `rule` has had its say about every node, in execution order."""
    return _rewrite(Rewriter(network), rule)


def _rewrite(rewriter: Rewriter, rule: Rule) -> Network:
    for old_node in rewriter.source.nodes:
        node = rewriter.with_bodies(old_node, lambda inner, _: _rewrite(inner, rule))
        results = rule(rewriter, node)
        if results is None:
            results = rewriter.copy(node)
        for old, new in zip(node.outputs, results, strict=True):
            rewriter.replace(old, new)
    return rewriter.finish()


def _names(network: Network) -> list[str]:
    nodes = list(network.walk())
    bodies = list(network.bodies())
    inputs = [t for net in (network, *bodies) for t in net.inputs]
    tensors = [*inputs, *network.constants(), *(t for n in nodes for t in n.outputs)]
    return [*(t.name for t in tensors), *(n.name for n in nodes), *(b.name for b in bodies)]
