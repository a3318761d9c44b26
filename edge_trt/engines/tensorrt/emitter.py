# SPDX-License-Identifier: Apache-2.0
"""What the emission of a layer works with: values, constants, and a checked way to add layers."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Sequence
from typing import Any, NoReturn, cast

import numpy as np

from edge_trt.engines.tensorrt.datatypes import data_type, dims, weights
from edge_trt.engines.tensorrt.flavours import has_layer
from edge_trt.errors import BuildError
from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.layers import Dequantize
from edge_trt.network.types import Dim, DType
from edge_trt_runtime.tensorrt.messages import Messages


class Emitter:
    """Adds one network's layers to a TensorRT network definition.

    Attributes:
        trt: The TensorRT module.
        tensors: TensorRT's tensor of each of ours that was emitted or used so far; int32 for a
            uint8 one, see `carrier`.
        keep: Arrays that TensorRT holds by address until the build is over.
        layers: Node that each TensorRT layer came from, by layer name.
    """

    def __init__(self, network: Network, trt: Any, definition: Any, messages: Messages) -> None:
        self.trt = trt
        self.definition = definition
        self.messages = messages
        self.tensors: dict[Tensor, Any] = {}
        self.bytes: dict[Tensor, Any] = {}
        """Network inputs of type uint8, as they come in."""
        self.keep: list[np.ndarray] = []
        self.layers: dict[str, Node] = {}
        self._node: Node | None = None
        self._added: list[Any] = []
        networks = (network, *network.bodies())
        self._plain_int8 = {
            tensor
            for tensor, users in (pair for net in networks for pair in net.users().items())
            if tensor.dtype is DType.INT8
            and not all(isinstance(user.layer, Dequantize) for user in users)
        }

    # -- for the layer families --------------------------------------------------------------

    def add(self, method: str, *arguments: Any) -> Any:
        """Calls `definition.<method>(*arguments)` and returns the new layer.

        Raises:
            BuildError: TensorRT refuses; with its own words.
        """
        return self.added(getattr(self.definition, method)(*arguments))

    def added(self, layer: Any) -> Any:
        """The same layer, which something else than the definition has added.

        Raises:
            BuildError: there is none, as TensorRT refuses it; with its own words.
        """
        if layer is None:
            self.refuse()
        self._added.append(layer)
        return layer

    def boundary(self, method: str, node: Node) -> Any:
        """A new loop or conditional: no layer, but what adds the layers at its boundary."""
        made = getattr(self.definition, method)()
        if made is None:
            self.refuse()
        made.name = node.name
        return made

    def has(self, method: str) -> bool:
        """Whether this TensorRT has the layer that `method` adds."""
        return has_layer(self.trt, method)

    def inputs(self, node: Node) -> list[Any]:
        """TensorRT's tensors of a node's inputs."""
        return [self.tensor(tensor) for tensor in node.inputs]

    def tensor(self, tensor: Tensor) -> Any:
        """TensorRT's tensor; a constant gets its layer on first use."""
        found = self.tensors.get(tensor)
        if found is None:
            make = self._widened if tensor in self.bytes else self._constant
            found = self.tensors[tensor] = make(tensor)
        return found

    def carrier(self, dtype: DType) -> DType:
        """The type that holds values of `dtype` inside the network.

        TensorRT knows uint8 at the edge only: as a network input that is cast, or as a network
        output that a cast makes. In between int32 carries the values.
        """
        return DType.INT32 if dtype is DType.UINT8 else dtype

    def weights(self, tensor: Tensor) -> Any:
        """A constant's value as weights, not copied."""
        assert tensor.data is not None
        return weights(self.trt, tensor.data, self.keep)

    def number(self, value: float, dtype: DType) -> Any:
        """A 0-d constant that the network itself does not have."""
        return self.filled(value, dtype, ())

    def filled(self, value: float, dtype: DType, shape: Sequence[int]) -> Any:
        """A constant tensor of one value that the network itself does not have."""
        layer = self._constant_layer(np.full(shape, value, dtype.numpy))
        self._added.append(layer)
        return layer.get_output(0)

    def dims(self, shape: Iterable[Dim]) -> Any:
        """A shape as `Dims`.

        Raises:
            BuildError: it has more dimensions than TensorRT knows.
        """
        try:
            return dims(self.trt, shape)
        except ValueError as error:
            self.refuse(f"{list(shape)} has more than 8 dimensions ({error})")

    def enum(self, enum: str, member: str) -> Any:
        """A member of a TensorRT enum: `enum("PoolingType", "MAX")`."""
        return getattr(getattr(self.trt, enum), member)

    def type(self, dtype: DType) -> Any:
        """TensorRT's name of an element type."""
        return data_type(self.trt, dtype)

    def refuse(self, reason: str = "") -> NoReturn:
        """Raises BuildError about the current layer, with TensorRT's reason unless one is given."""
        raise BuildError(self.complaint(reason), **self._where())

    # -- for `emit` --------------------------------------------------------------------------

    def begin(self, node: Node) -> None:
        """Starts a node: what is added from now on belongs to it."""
        self._node = node
        self._added = []

    @contextlib.contextmanager
    def nested(self) -> Generator[None]:
        """While the layers of a body are added, the node that runs it waits."""
        waiting = self._node, self._added
        yield
        self._node, self._added = waiting

    def finish(self, node: Node, layer: Any) -> None:
        """Names a node's layers and tensors.

        `layer` computes its outputs; a list of layers computes one each.
        """
        each = cast("list[Any]", layer) if isinstance(layer, list) else [layer]
        helpers = [added for added in self._added if all(added is not main for main in each)]
        names = [node.name, *(f"{node.name}/{i}" for i in range(1, len(helpers) + len(each)))]
        for added, name in zip([*each, *helpers], names, strict=True):
            added.name = name
            added.metadata = str(node.origin)
            self.layers[name] = node
        for index, tensor in enumerate(node.outputs):
            one_each = isinstance(layer, list)
            output = each[index].get_output(0) if one_each else layer.get_output(index)
            output.name = self._name(tensor)
            self.tensors[tensor] = output

    def result(self, tensor: Tensor) -> Any:
        """TensorRT's tensor for a network output, in the network's type and name."""
        inner = self.tensor(tensor)
        return self._cast(inner, tensor.name, DType.UINT8) if self._is_bytes(tensor) else inner

    def complaint(self, reason: str = "") -> str:
        """One sentence about the current layer."""
        words = reason or "; ".join(self.messages.take()) or "it gives no reason"
        node = self._node
        if node is None:
            return f"TensorRT refuses the network: {words}"
        return f"TensorRT refuses layer {node.name} = {node.layer} ({node.origin}): {words}"

    # -- constants ---------------------------------------------------------------------------

    def _where(self) -> dict[str, str]:
        node = self._node
        return {"layer": node.name, "module": node.origin.module} if node else {}

    def _is_bytes(self, tensor: Tensor) -> bool:
        return tensor.dtype is DType.UINT8

    def _name(self, tensor: Tensor) -> str:
        return f"{tensor.name}/int32" if self._is_bytes(tensor) else tensor.name

    def _widened(self, tensor: Tensor) -> Any:
        return self._cast(self.bytes[tensor], self._name(tensor), DType.INT32)

    def _constant(self, tensor: Tensor) -> Any:
        """A constant's tensor; int8 is a constant's type only where it is dequantized."""
        if tensor.data is None:
            self.refuse(f"{tensor!r} is read before it is computed")
        name = self._name(tensor)
        if tensor in self._plain_int8:
            wide = self._named(self._constant_layer(tensor.data.astype(np.int32)), f"{name}/int32")
            return self._cast(wide, name, DType.INT8)
        data = tensor.data.astype(self.carrier(tensor.dtype).numpy, copy=False)
        return self._named(self._constant_layer(data), name)

    def _cast(self, tensor: Any, name: str, dtype: DType) -> Any:
        return self._named(self.definition.add_cast(tensor, self.type(dtype)), name)

    def _named(self, layer: Any, name: str) -> Any:
        layer.name = name
        output = layer.get_output(0)
        output.name = name
        if self._node is not None:
            self.layers.setdefault(name, self._node)
        return output

    def _constant_layer(self, array: np.ndarray) -> Any:
        value = weights(self.trt, array, self.keep)
        layer = self.definition.add_constant(self.dims(array.shape), value)
        if layer is None:
            self.refuse()
        return layer
