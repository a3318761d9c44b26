# SPDX-License-Identifier: Apache-2.0
"""The network: a typed graph of TensorRT layers, independent of torch and of TensorRT.

    net = Network("block0")
    x = net.input("x", TensorType(DType.FLOAT32, ("batch", 8)))
    y = net.add(Activation(type="RELU"), x)
    net.mark_output(y, "y")
    print(net)

Constants are tensors with data, not layers: the engines decide whether one becomes an ONNX
initializer, a layer's weights or an `IConstantLayer`.

Loops and conditionals have bodies, networks of their own (`Network.body`). A body reads its inputs
and constants and nothing else, and no name occurs twice in a network with all its bodies.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from edge_trt.network.layer import Layer
from edge_trt.network.types import DType, ShapeError, TensorType, merge_shapes

__all__ = ["Network", "NetworkError", "Node", "Origin", "Tensor"]


class NetworkError(ValueError):
    """A network that breaks its own rules; the message names layer, module and source line."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a layer comes from, in the words of the person who wrote the model."""

    module: str = ""
    """Path of the module, as in `named_modules()`: `layer1.0.conv2`."""
    source: str = ""
    """`file.py:123` of the call in the model's code."""
    op: str = ""
    """ATen operator: `aten.conv2d.default`."""
    node: str = ""
    """Name of the node in the captured graph."""

    def __str__(self) -> str:
        where = [f"module {self.module}" if self.module else "", self.source]
        return ", ".join(filter(None, [self.op, *where])) or "(no origin)"


@dataclass(slots=True, eq=False)
class Tensor:
    """A value in a network, compared by identity.

    `data` is set for constants, `producer` for results of a node; network inputs have neither.
    """

    name: str
    type: TensorType
    data: np.ndarray | None = None
    producer: Node | None = None

    @property
    def shape(self) -> tuple[int | str, ...]:
        """Shorthand for `type.shape`."""
        return self.type.shape

    @property
    def dtype(self) -> DType:
        """Shorthand for `type.dtype`."""
        return self.type.dtype

    @property
    def rank(self) -> int:
        """Shorthand for `type.rank`."""
        return len(self.type.shape)

    @property
    def is_constant(self) -> bool:
        """True when the value is known at compile time."""
        return self.data is not None

    def __repr__(self) -> str:
        return f"%{self.name}: {self.type}"


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One layer in a network: what it computes, from what, into what, and where it comes from."""

    name: str
    layer: Layer
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    origin: Origin

    def __str__(self) -> str:
        results = ", ".join(map(repr, self.outputs))
        operands = ", ".join(f"%{t.name}" for t in self.inputs)
        return f"{results} = {self.layer}({operands})"


@dataclass(eq=False)
class Network:
    """Nodes in execution order, with named inputs and outputs."""

    name: str
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    origin: Origin = field(default_factory=Origin)
    """Origin given to layers added from now on; a converter's driver sets it per node."""
    _names: dict[str, int] = field(default_factory=dict)

    def body(self, name: str) -> Network:
        """An empty network for a layer of this one to run; names are unique in both together."""
        return Network(self._unique(name), origin=self.origin, _names=self._names)

    def input(self, name: str, type: TensorType) -> Tensor:
        """Declares an input of the network."""
        tensor = Tensor(self._unique(name), type)
        self.inputs.append(tensor)
        return tensor

    def constant(self, array: np.ndarray, name: str = "constant") -> Tensor:
        """A tensor whose value is known; the array is kept, not copied.

        Raises:
            NetworkError: the array has a type no network tensor can have.
        """
        try:
            dtype = DType.of(array)
        except ValueError:
            reason = f"constant {name} has type {array.dtype}, which no layer takes"
            raise NetworkError(reason) from None
        return Tensor(self._unique(name), TensorType(dtype, tuple(array.shape)), array)

    def add(self, layer: Layer, *inputs: Tensor, name: str | None = None) -> Tensor:
        """Appends a layer with one output and returns that output."""
        outputs = self.add_multi(layer, *inputs, name=name)
        if len(outputs) != 1:
            raise NetworkError(f"{layer} has {len(outputs)} outputs: use add_multi")
        return outputs[0]

    def add_multi(
        self, layer: Layer, *inputs: Tensor, name: str | None = None
    ) -> tuple[Tensor, ...]:
        """Appends a layer and returns its outputs.

        Raises:
            NetworkError: the layer does not accept these input types.
        """
        node_name = self._unique(name or self.origin.node or type(layer).__name__.lower())
        types = self._infer(layer, inputs, node_name, self.origin)
        names = [node_name, *(self._unique(f"{node_name}.{i}") for i in range(1, len(types)))]
        outputs = tuple(Tensor(n, t) for n, t in zip(names, types, strict=True))
        self.append(Node(node_name, layer, inputs, outputs, self.origin))
        return outputs

    def append(self, node: Node) -> None:
        """Appends a finished node; for rewrites and deserialization."""
        for tensor in node.outputs:
            tensor.producer = node
        self.nodes.append(node)

    def reserve(self, names: Iterable[str]) -> None:
        """Keeps names from being given to new tensors."""
        self._names.update(dict.fromkeys(names, 0))

    def mark_output(self, tensor: Tensor, name: str) -> None:
        """Makes a tensor an output called `name`, renaming it.

        Raises:
            NetworkError: an input or a constant can't be an output (add an `Identity`), nor can
                one tensor be two outputs.
        """
        if tensor.producer is None or tensor in self.outputs:
            raise NetworkError(f"{tensor!r} can't become output {name} without an Identity layer")
        self._names.setdefault(name, 0)
        tensor.name = name
        self.outputs.append(tensor)

    def walk(self) -> Iterator[Node]:
        """Every node, those of the bodies before the node that runs them."""
        for node in self.nodes:
            for body in node.layer.bodies.values():
                yield from body.walk()
            yield node

    def bodies(self) -> Iterator[Network]:
        """Every body, inner ones before those around them."""
        return (body for node in self.walk() for body in node.layer.bodies.values())

    def constants(self) -> Iterator[Tensor]:
        """Every constant that a layer reads or an output shows, once, in order of first use.

        Those of the bodies are among them.
        """
        seen: set[int] = set()
        for tensor in (*(t for node in self.walk() for t in node.inputs), *self.outputs):
            if tensor.is_constant and id(tensor) not in seen:
                seen.add(id(tensor))
                yield tensor

    def users(self) -> dict[Tensor, list[Node]]:
        """Which nodes read each tensor."""
        result: dict[Tensor, list[Node]] = {}
        for node in self.nodes:
            for tensor in node.inputs:
                result.setdefault(tensor, []).append(node)
        return result

    def prune(self) -> None:
        """Drops layers that no output depends on, in the bodies too."""
        wanted = {id(t) for t in self.outputs}
        kept: list[Node] = []
        for node in reversed(self.nodes):
            read = [id(t) in wanted for t in node.outputs]
            if any(read):
                kept.append(_narrowed(node, read))
                wanted.update(id(t) for t in node.inputs)
        self.nodes = kept[::-1]

    def verify(self) -> None:
        """Checks order, names and types of the whole network and its bodies.

        Raises:
            NetworkError: naming the first layer that breaks a rule.
        """
        self._verify({}, set())

    def _verify(self, taken: dict[str, Tensor], names: set[str]) -> None:
        """Checks with the names of the network around it, to which its own are added."""
        known: dict[str, Tensor] = {}
        for tensor in self.inputs:
            _define(taken, known, tensor, "network")
        for node in self.nodes:
            for tensor in node.inputs:
                if tensor.is_constant:
                    _define(taken, known, tensor, "network")
                elif known.get(tensor.name) is not tensor:
                    raise NetworkError(
                        f"layer {node.name} reads {tensor.name} before it is computed "
                        f"({node.origin})"
                    )
            if node.name in names:
                raise NetworkError(f"two layers are called {node.name} ({node.origin})")
            names.add(node.name)
            for body in node.layer.bodies.values():
                body._verify(taken, names)
            self._verify_results(node)
            for tensor in node.outputs:
                _define(taken, known, tensor, node.name)
        for tensor in self.outputs:
            if known.get(tensor.name) is not tensor or tensor.producer is None:
                raise NetworkError(f"output {tensor.name} of network {self.name} is not computed")

    def _verify_results(self, node: Node) -> None:
        types = self._infer(node.layer, node.inputs, node.name, node.origin)
        if len(types) != len(node.outputs):
            raise NetworkError(
                f"layer {node.name} ({node.origin}) has {len(node.outputs)} outputs, "
                f"not {len(types)}"
            )
        for tensor, inferred in zip(node.outputs, types, strict=True):
            check_type(tensor.type, inferred, f"layer {node.name} ({node.origin})")

    def _infer(
        self, layer: Layer, inputs: tuple[Tensor, ...], name: str, origin: Origin
    ) -> tuple[TensorType, ...]:
        try:
            layer.check_members()
            types = layer.infer(*(t.type for t in inputs))
        except ShapeError as error:
            raise NetworkError(f"layer {name} ({origin}): {error}") from error
        return types if isinstance(types, tuple) else (types,)

    def _unique(self, name: str) -> str:
        count = self._names.get(name)
        if count is None:
            self._names[name] = 0
            return name
        while True:
            count += 1
            candidate = f"{name}_{count}"
            if candidate not in self._names:
                self._names[name] = count
                self._names[candidate] = 0
                return candidate

    def __str__(self) -> str:
        inputs = ", ".join(map(repr, self.inputs))
        outputs = ", ".join(f"%{t.name}" for t in self.outputs)
        body = "".join(textwrap.indent(_with_bodies(node), "  ") for node in self.nodes)
        return f"network {self.name}({inputs}) {{\n{body}  return {outputs}\n}}"


def _with_bodies(node: Node) -> str:
    """A node and what it runs, a layer a line."""
    bodies = "".join(f"{body}\n" for body in node.layer.bodies.values())
    return f"{node}\n" + textwrap.indent(bodies, "  ")


def _narrowed(node: Node, read: list[bool]) -> Node:
    """A node whose layer does not compute what nobody reads."""
    layer, kept = node.layer.narrowed(read)
    if layer is node.layer:
        return node
    outputs = tuple(t for t, keep in zip(node.outputs, kept, strict=True) if keep)
    narrowed = replace(node, layer=layer, outputs=outputs)
    for tensor in outputs:
        tensor.producer = narrowed
    return narrowed


def check_type(declared: TensorType, inferred: TensorType, where: str) -> TensorType:
    """One type out of two descriptions of it.

    Raises:
        NetworkError: they contradict each other; `where` opens the message.
    """
    if declared.dtype != inferred.dtype:
        raise NetworkError(f"{where}: expected {declared}, the layer gives {inferred}")
    try:
        return declared.with_shape(merge_shapes(declared.shape, inferred.shape, where))
    except ShapeError as error:
        raise NetworkError(str(error)) from error


def _define(taken: dict[str, Tensor], known: dict[str, Tensor], tensor: Tensor, where: str) -> None:
    """Adds a tensor to what a network knows; `taken` holds the names of all bodies together."""
    if taken.setdefault(tensor.name, tensor) is not tensor:
        raise NetworkError(f"two tensors are called {tensor.name} (second one in {where})")
    known[tensor.name] = tensor
