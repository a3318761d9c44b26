# SPDX-License-Identifier: Apache-2.0
"""What the planner knows of a network: the work of its layers, and the values between them.

A graph has no weights and no names of modules, so that it can be kept as a few kilobytes of JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.layers import (
    Activation,
    Convolution,
    Deconvolution,
    ElementWise,
    Identity,
    MatrixMultiply,
    ParametricReLU,
    Scale,
    Shuffle,
)
from edge_trt.placement.sizes import batch, elements, first, numbers

EPILOGUE = (Activation, ElementWise, Scale, ParametricReLU)
"""Layers that run at the end of the convolution before them, without writing its result."""


@dataclass(frozen=True, slots=True)
class Work:
    """One layer, with counts for the batch of its network.

    Attributes:
        name: of the layer.
        kind: `Convolution`.
        batch: the product of all sizes left of C, H, W.
        positions: places that the window stands at, over the whole batch; 0 without a product.
        taps: elements of the window.
        channels: that one output reads: of one group.
        maps: output channels of one group.
        groups: of a convolution.
        read: elements of computed operands.
        written: elements of results.
        weights: elements of constants.
        follows: whether it ends the kernel of the layer before it.
    """

    name: str
    kind: str
    batch: int
    positions: int = 0
    taps: int = 1
    channels: int = 1
    maps: int = 1
    groups: int = 1
    read: int = 0
    written: int = 0
    weights: int = 0
    follows: bool = False

    @property
    def macs(self) -> int:
        """Multiplications with additions."""
        return self.positions * self.taps * self.channels * self.maps * self.groups


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor between layers.

    Attributes:
        producer: number of the layer that gives it, -1 for an input of the network.
        readers: numbers of the layers that read it.
        elements: its size.
        output: whether it is a result of the network.
    """

    producer: int
    readers: tuple[int, ...]
    elements: int
    output: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """Layers in execution order, and every value that one of them reads or gives."""

    works: tuple[Work, ...]
    values: tuple[Value, ...]

    def with_batch(self, count: int) -> Graph:
        """The graph of a batch that is `count` times as large."""
        works = [
            replace(
                w, batch=w.batch * count, positions=w.positions * count, read=w.read * count,
                written=w.written * count,
            )
            for w in self.works
        ]  # fmt: skip
        values = [replace(v, elements=v.elements * count) for v in self.values]
        return Graph(tuple(works), tuple(values))

    def predecessors(self) -> list[list[int]]:
        """The layers whose results each layer reads."""
        found: list[list[int]] = [[] for _ in self.works]
        for value in self.values:
            for reader in value.readers if value.producer >= 0 else ():
                found[reader].append(value.producer)
        return found

    def as_dict(self) -> dict[str, Any]:
        """JSON values; what is a default is left out."""
        plain = asdict(Work("", "", 0))
        works = [
            {k: v for k, v in asdict(w).items() if v != plain[k] or k in ("name", "batch")}
            for w in self.works
        ]
        values = [[v.producer, list(v.readers), v.elements, int(v.output)] for v in self.values]
        return {"works": works, "values": values}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Graph:
        """What `as_dict` gave."""
        works = tuple(_restored(w) for w in data["works"])
        values = tuple(Value(p, tuple(r), e, bool(o)) for p, r, e, o in data["values"])
        return cls(works, values)


def _restored(fields: dict[str, Any]) -> Work:
    whole: dict[str, Any] = {"kind": "", **fields}
    return Work(**whole)


def describe(network: Network) -> Graph:
    """The graph of a network without quantization layers; sizes that are open count as 1."""
    users = network.users()
    numbered = {node.name: i for i, node in enumerate(network.nodes)}
    kernels = _Kernels(users)
    works = tuple(_work(node, kernels.takes(node)) for node in network.nodes)
    values: list[Value] = []
    outputs = {id(t) for t in network.outputs}
    produced: list[tuple[int, Tensor]] = [(-1, t) for t in network.inputs]
    produced += [(numbered[node.name], t) for node in network.nodes for t in node.outputs]
    for producer, tensor in produced:
        readers = tuple(numbered[n.name] for n in users.get(tensor, []))
        if readers or id(tensor) in outputs:
            unique = tuple(dict.fromkeys(readers))
            values.append(Value(producer, unique, elements(tensor), id(tensor) in outputs))
    return Graph(works, tuple(values))


def _work(node: Node, follows: bool) -> Work:
    computed = [t for t in node.inputs if not t.is_constant]
    written = sum(map(elements, node.outputs))
    moves = isinstance(node.layer, (Identity, Shuffle)) and _free(node)
    main = first(node) if node.inputs else node.outputs[0]
    read = sum(map(elements, computed)) - (elements(main) if follows else 0)
    work = Work(
        node.name,
        node.layer.kind,
        batch(main) if main.type.is_static and main.rank >= 3 else _leading(main),
        read=0 if moves else read,
        written=0 if follows or moves else written,
        weights=sum(elements(t) for t in node.inputs if t.is_constant),
        follows=follows or moves,
    )
    return _with_product(work, node)


def _with_product(work: Work, node: Node) -> Work:
    layer = node.layer
    if isinstance(layer, (Convolution, Deconvolution)):
        kernel, result = numbers(node.inputs[1]), node.outputs[0]
        over = node.inputs[0] if isinstance(layer, Deconvolution) else result
        places = elements(over) // max(1, numbers(over)[1] if over.rank > 1 else 1)
        taps = 1
        for size in kernel[2:]:
            taps *= size
        groups = layer.num_groups
        if isinstance(layer, Deconvolution):
            channels, maps = kernel[0] // groups, kernel[1]
        else:
            channels, maps = kernel[1], kernel[0] // groups
        return replace(
            work, positions=places, taps=taps, channels=channels, maps=maps, groups=groups
        )
    if isinstance(layer, MatrixMultiply):
        a, b = node.inputs
        inner = a.shape[-2 if layer.op0 == "TRANSPOSE" else -1]
        columns = b.shape[-2 if layer.op1 == "TRANSPOSE" else -1]
        inner, columns = (n if isinstance(n, int) else 1 for n in (inner, columns))
        places = elements(node.outputs[0]) // max(1, columns)
        return replace(work, positions=places, channels=inner, maps=columns)
    return work


class _Kernels:
    """Which layers end the kernel of a product before them."""

    def __init__(self, users: dict[Tensor, list[Node]]) -> None:
        self._users = users
        self._ends: set[int] = set()
        self._names: set[str] = set()

    def takes(self, node: Node) -> bool:
        """Whether a layer runs in the kernel of an operand; to be asked in execution order."""
        if isinstance(node.layer, (Convolution, Deconvolution, MatrixMultiply)):
            self._ends.add(id(node.outputs[0]))
            return False
        if not isinstance(node.layer, EPILOGUE):
            return False
        if not any(id(t) in self._ends and self._alone(t, node) for t in node.inputs):
            return False
        self._ends.add(id(node.outputs[0]))
        self._names.add(node.name)
        return True

    def _alone(self, tensor: Tensor, node: Node) -> bool:
        """Whether nothing outside of the kernel reads an operand: `x * sigmoid(x)` is inside."""
        own = self._pointwise_after(node.outputs[0], 3)
        others = {n.name for n in self._users[tensor]} - {node.name}
        return tensor.shape == node.outputs[0].shape and others <= own | self._names

    def _pointwise_after(self, tensor: Tensor, steps: int) -> set[str]:
        """Layers of single elements that follow, up to so many one after the other."""
        found: set[str] = set()
        for reader in self._users.get(tensor, []) if steps else []:
            if isinstance(reader.layer, EPILOGUE):
                found.add(reader.name)
                found |= self._pointwise_after(reader.outputs[0], steps - 1)
        return found


def _free(node: Node) -> bool:
    """A reshape that moves nothing."""
    layer = node.layer
    return not isinstance(layer, Shuffle) or (
        layer.first_transpose is None and layer.second_transpose is None
    )


def _leading(tensor: Tensor) -> int:
    sizes: Sequence[int] = numbers(tensor)
    return sizes[0] if sizes and tensor.rank > 1 else 1
