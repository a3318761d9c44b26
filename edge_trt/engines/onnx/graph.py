# SPDX-License-Identifier: Apache-2.0
"""An ONNX graph under construction: nodes, initializers and unique names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper

from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.types import Dim, DType

INLINE_BYTES = 1024
"""Constants up to this size are written into the model itself, wherever the others are."""

ELEMENT_TYPES: dict[DType, int] = {
    DType.FLOAT32: TensorProto.FLOAT,
    DType.FLOAT16: TensorProto.FLOAT16,
    DType.BFLOAT16: TensorProto.BFLOAT16,
    DType.INT8: TensorProto.INT8,
    DType.UINT8: TensorProto.UINT8,
    DType.INT32: TensorProto.INT32,
    DType.INT64: TensorProto.INT64,
    DType.BOOL: TensorProto.BOOL,
}

Value: TypeAlias = Tensor | str
"""An operand: a tensor of the network, or the name of a value that exists in ONNX alone."""


@dataclass(frozen=True, slots=True)
class ExternalData:
    """Where a constant's bytes lie.

    `location` is a path relative to the folder that ONNX Runtime is told, `offset` and `length`
    are in bytes.
    """

    location: str
    offset: int
    length: int


Locate: TypeAlias = Callable[[Tensor], ExternalData | None]
"""Says where a constant lies, or None for one that goes into the model."""


EmitNodes: TypeAlias = Callable[["Graph", Network, Sequence[Tensor]], GraphProto]
"""Emits the nodes of a network into a graph, and says what it looks like from outside."""


class Graph:
    """Collects ONNX nodes and initializers for one network.

    While a layer is emitted, `node` is the network's node. Operators name their results by
    themselves; `finish` gives the last ones the names that the network knows. The graph of a body
    shares names and initializers with the one around it, whose constants it may read.
    """

    def __init__(
        self,
        network: Network,
        locate: Locate | None,
        kept: Iterable[Tensor],
        emit_nodes: EmitNodes,
        around: Graph | None = None,
    ) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = [] if around is None else around.initializers
        self.users = network.users()
        self.kept = {id(t) for t in kept}
        self.fused: set[int] = set()
        self.node: Node
        self._outputs: tuple[Tensor, ...] = ()
        self._locate = locate
        self._emit_nodes = emit_nodes
        self._begin = 0
        self._taken = _names(network) if around is None else around._taken
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = (
            {} if around is None else around._constants
        )
        self._weights: dict[tuple[int, tuple[int, ...]], str] = (
            {} if around is None else around._weights
        )
        self._casts: dict[tuple[str, int], str] = {}
        self._cast_keys: dict[str, tuple[str, int]] = {}

    def body(self, network: Network) -> GraphProto:
        """A body of the current layer, as the graph that an operator runs."""
        outputs = network.outputs
        graph = Graph(network, self._locate, outputs, self._emit_nodes, around=self)
        return self._emit_nodes(graph, network, outputs)

    # -- operators ---------------------------------------------------------------------------

    def op(self, op_type: str, *inputs: Value | None, **attributes: Any) -> str:
        """Adds an operator with one result; an input of None is left out."""
        return self.multi(op_type, 1, *inputs, **attributes)[0]

    def multi(
        self, op_type: str, results: int, *inputs: Value | None, **attributes: Any
    ) -> tuple[str, ...]:
        """Adds an operator with several results."""
        names = ["" if x is None else self.name(x) for x in inputs]
        outputs = [self._unique(f"{self.node.name}/{op_type}") for _ in range(results)]
        proto = NodeProto(op_type=op_type, name=outputs[0], input=names, output=outputs)
        proto.attribute.extend(_attribute(k, v) for k, v in attributes.items() if v is not None)
        self.nodes.append(proto)
        return tuple(outputs)

    def cast(self, x: Value, to: DType | int) -> str:
        """`x` in another element type, cast once however often it is asked for."""
        code = ELEMENT_TYPES[to] if isinstance(to, DType) else to
        key = (self.name(x), code)
        if key not in self._casts:
            self._casts[key] = self.op("Cast", x, to=code)
            self._cast_keys[self._casts[key]] = key
        return self._casts[key]

    def where(self, condition: Value, then: Value, other: Value, dtype: DType) -> str:
        """`condition ? then : other`; ONNX Runtime lacks the kernels for bool and int8."""
        if dtype is DType.INT8:
            wide = (self.cast(x, DType.INT32) for x in (then, other))
            return self.cast(self.op("Where", condition, *wide), dtype)
        if dtype is not DType.BOOL:
            return self.op("Where", condition, then, other)
        chosen = self.op("And", condition, then)
        return self.op("Or", chosen, self.op("And", self.op("Not", condition), other))

    # -- constants ---------------------------------------------------------------------------

    def constant(self, value: Any, dtype: DType = DType.INT64) -> str:
        """A small constant, stored once however often it is asked for."""
        with np.errstate(over="ignore"):  # a bound of 3e38 is infinity in float16
            array = np.asarray(value).astype(dtype.numpy)
        key = (str(dtype), array.shape, array.tobytes())
        if key not in self._constants:
            name = self._constants[key] = self._unique("constant")
            self.initializers.append(_initializer(name, dtype, array.shape, key[2]))
        return self._constants[key]

    def weight(self, x: Tensor, shape: tuple[int, ...]) -> str:
        """A constant of the network, its bytes seen under another shape of the same volume."""
        assert x.data is not None
        key = (id(x), shape)
        if key not in self._weights:
            name = x.name if shape == x.data.shape else self._unique(x.name)
            self._weights[key] = name
            where = self._locate(x) if self._locate and x.data.nbytes > INLINE_BYTES else None
            content = np.ascontiguousarray(x.data).tobytes() if where is None else where
            self.initializers.append(_initializer(name, x.dtype, shape, content))
        return self._weights[key]

    def name(self, x: Value) -> str:
        """The ONNX name of an operand; a constant becomes an initializer on first use."""
        if isinstance(x, str):
            return x
        return x.name if x.data is None else self.weight(x, x.data.shape)

    # -- layers ------------------------------------------------------------------------------

    def begin(self, node: Node) -> None:
        """The operators that follow compute `node`."""
        self.node = node
        self._outputs = node.outputs
        self._begin = len(self.nodes)

    def only_user(self) -> Node | None:
        """The one layer that reads the one result of the current layer, if nobody else sees it."""
        (output,) = self.node.outputs
        users = self.users.get(output, [])
        return users[0] if len(users) == 1 and id(output) not in self.kept else None

    def fuse(self, node: Node) -> None:
        """The current layer computes the results of `node`, which follows it, too."""
        self.fused.add(id(node))
        self._outputs = node.outputs

    def finish(self, results: tuple[str, ...]) -> None:
        """Gives results the names of the network's tensors, and the operators their origin."""
        added = self.nodes[self._begin :]
        own = {name for proto in added for name in proto.output}
        results = tuple(name if name in own else self.op("Identity", name) for name in results)
        added = self.nodes[self._begin :]
        names = {old: tensor.name for old, tensor in zip(results, self._outputs, strict=True)}
        for name in names:
            self._casts.pop(self._cast_keys.get(name, ("", 0)), None)
        origin = self.node.origin
        text = str(origin) if origin.module or origin.source or origin.op else ""
        for proto in added:
            _rename(proto, names)
            proto.doc_string = text
        added[-1].name = self.node.name

    def _unique(self, stem: str) -> str:
        name, count = stem, 0
        while name in self._taken:
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name)
        return name


def _names(network: Network) -> set[str]:
    """Names of all tensors, those of bodies too."""
    inputs = {t.name for net in (network, *network.bodies()) for t in net.inputs}
    return inputs | {t.name for node in network.walk() for t in (*node.inputs, *node.outputs)}


def value_info(name: str, dtype: DType, shape: tuple[Dim, ...]) -> Any:
    """Type and shape of a graph's input or output; a size named `?` is left open."""
    dims = [None if d == "?" else d for d in shape]
    return helper.make_tensor_value_info(name, ELEMENT_TYPES[dtype], dims)


def _attribute(name: str, value: Any) -> AttributeProto:
    return helper.make_attribute(name, value)


def _initializer(
    name: str, dtype: DType, shape: tuple[int, ...], content: bytes | ExternalData
) -> TensorProto:
    proto = TensorProto(name=name, data_type=ELEMENT_TYPES[dtype], dims=shape)
    if isinstance(content, bytes):
        proto.raw_data = content
        return proto
    proto.data_location = TensorProto.EXTERNAL
    for key in ("location", "offset", "length"):
        proto.external_data.add(key=key, value=str(getattr(content, key)))
    return proto


def _rename(proto: NodeProto, names: dict[str, str]) -> None:
    for field in (proto.input, proto.output):
        for i, name in enumerate(field):
            if name in names:
                field[i] = names[name]
