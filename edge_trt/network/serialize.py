# SPDX-License-Identifier: Apache-2.0
"""A network as JSON text, one layer a line, with weights by key in a `WeightStore`.

{"format": 1, "name": "block0",
 "inputs": ["x"], "outputs": ["y"],
 "tensors": {"x": "float32[batch, 3, 224, 224]", ...},
 "constants": {"conv1.weight": {"weights": "conv1.weight"}, "axis": {"data": [1]}},
 "bodies": {"loop.body": {"inputs": [...], "outputs": [...], "nodes": [...]}},
 "nodes": [
  {"name": "conv", "kind": "Convolution", "attributes": {...}, "inputs": [...], ...}
 ]}

Bodies of loops and conditionals stand by name beside the nodes that run them, inner ones first;
their tensors and constants are among those of the whole network, since no name occurs twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

import numpy as np

import edge_trt.network.layers  # noqa: F401  every kind must be known by name
from edge_trt.network.graph import Network, NetworkError, Node, Origin, Tensor
from edge_trt.network.layer import Layer
from edge_trt.network.types import Dim, DType, TensorType
from edge_trt.network.weights import WeightStore

FORMAT = 1
INLINE_ELEMENTS = 16
"""Constants up to this size are written into the text, so that a diff shows them."""


def dump(network: Network, store: WeightStore) -> str:
    """The network's text; constants beyond `INLINE_ELEMENTS` elements go into the store."""
    constants = list(network.constants())
    bodies = list(network.bodies())
    inputs = [t for net in (network, *bodies) for t in net.inputs]
    tensors = [*inputs, *constants, *(t for n in network.walk() for t in n.outputs)]
    head = {
        "format": FORMAT,
        "name": network.name,
        "inputs": [t.name for t in network.inputs],
        "outputs": [t.name for t in network.outputs],
    }
    sections = [
        json.dumps(head)[1:-1],
        _object("tensors", {t.name: str(t.type) for t in tensors}),
        _object("constants", {t.name: _dump_constant(t, store) for t in constants}),
        *(['"bodies": {\n' + ",\n".join(map(_dump_body, bodies)) + "\n}"] if bodies else []),
        _dump_nodes(network),
    ]
    return "{" + ",\n".join(sections) + "}\n"


def load(text: str, weights: Mapping[str, np.ndarray]) -> Network:
    """Reads a network back and verifies it.

    Raises:
        NetworkError: the text is not a network of this format, or breaks the network's rules.
    """
    try:
        data: dict[str, Any] = json.loads(text)
        if data["format"] != FORMAT:
            raise NetworkError(
                f"network format {data['format']} is not {FORMAT}: use a matching edge_trt"
            )
        network = _load(data, weights)
        network.verify()
    except NetworkError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise NetworkError(f"this is not a serialized network: {error!r}") from error
    return network


def _load(data: dict[str, Any], weights: Mapping[str, np.ndarray]) -> Network:
    types = {name: parse_type(text) for name, text in data["tensors"].items()}
    tensors = {name: Tensor(name, type) for name, type in types.items()}
    for name, entry in data["constants"].items():
        tensors[name].data = _load_constant(entry, types[name], weights)
    network = Network(data["name"])
    network.reserve(tensors)
    bodies: dict[str, Network] = {}
    for name, entry in data.get("bodies", {}).items():
        bodies[name] = network.body(name)
        _fill(bodies[name], entry, tensors, bodies)
    _fill(network, data, tensors, bodies)
    return network


def _fill(
    network: Network,
    data: dict[str, Any],
    tensors: Mapping[str, Tensor],
    bodies: Mapping[str, Network],
) -> None:
    """Gives a network the inputs, nodes and outputs that are written down for it."""
    network.inputs.extend(tensors[name] for name in data["inputs"])
    for entry in data["nodes"]:
        layer = _load_layer(entry["kind"], entry["attributes"], bodies)
        inputs = tuple(tensors[name] for name in entry["inputs"])
        outputs = tuple(tensors[name] for name in entry["outputs"])
        origin = Origin(**entry["origin"])
        network.append(Node(entry["name"], layer, inputs, outputs, origin))
    network.outputs.extend(tensors[name] for name in data["outputs"])
    network.reserve(node.name for node in network.nodes)


def parse_type(text: str) -> TensorType:
    """The inverse of `str(TensorType)`: `float32[batch, 3]`.

    Raises:
        NetworkError: the text is not a type.
    """
    match = re.fullmatch(r"(\w+)\[(.*)\]", text)
    if match is None or match[1] not in set(DType):
        raise NetworkError(f"{text!r} is not a tensor type")
    dims = [d.strip() for d in _split_dims(match[2])] if match[2] else []
    return TensorType(DType(match[1]), tuple(map(_parse_dim, dims)))


def _split_dims(text: str) -> list[str]:
    """Splits at commas outside parentheses: symbolic sizes may be `Max(1, s0)`."""
    parts: list[str] = []
    depth = start = 0
    for i, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]


def _parse_dim(text: str) -> Dim:
    return int(text) if re.fullmatch(r"\d+", text) else text


def _dump_constant(tensor: Tensor, store: WeightStore) -> dict[str, Any]:
    data = tensor.data
    assert data is not None
    exact = not tensor.dtype.is_float or tensor.dtype is DType.FLOAT32
    if data.size <= INLINE_ELEMENTS and exact and bool(np.isfinite(data).all()):
        return {"data": data.reshape(-1).tolist()}
    return {"weights": store.add(data, tensor.name)}


def _load_constant(
    entry: dict[str, Any], type: TensorType, weights: Mapping[str, np.ndarray]
) -> np.ndarray:
    if "data" in entry:
        return np.array(entry["data"], type.dtype.numpy).reshape(
            cast("tuple[int, ...]", type.shape)
        )
    key = entry["weights"]
    if key not in weights:
        raise NetworkError(f"the weights file has no tensor {key}")
    array = weights[key]
    if array.dtype != type.dtype.numpy or array.shape != type.shape:
        raise NetworkError(f"weights {key} are {array.dtype}{list(array.shape)}, not {type}")
    return array


def _dump_body(body: Network) -> str:
    head = {"inputs": [t.name for t in body.inputs], "outputs": [t.name for t in body.outputs]}
    return f"{json.dumps(body.name)}: {json.dumps(head)[:-1]},\n{_dump_nodes(body)}}}"


def _dump_nodes(network: Network) -> str:
    lines = ",\n".join(json.dumps(_dump_node(node)) for node in network.nodes)
    return f'"nodes": [\n{lines}\n]'


def _dump_node(node: Node) -> dict[str, Any]:
    names = {attribute: body.name for attribute, body in node.layer.bodies.items()}
    return {
        "name": node.name,
        "kind": node.layer.kind,
        "attributes": {**node.layer.attributes(), **names},
        "inputs": [t.name for t in node.inputs],
        "outputs": [t.name for t in node.outputs],
        "origin": {f.name: getattr(node.origin, f.name) for f in fields(Origin)},
    }


def _load_layer(kind: str, attributes: dict[str, Any], bodies: Mapping[str, Network]) -> Layer:
    layer = Layer.kinds.get(kind)
    if layer is None:
        raise NetworkError(f"layer kind {kind} is unknown: the bundle needs a newer edge_trt")
    values: dict[str, Any] = {
        k: tuple(cast("list[Any]", v)) if isinstance(v, list) else v for k, v in attributes.items()
    }
    if "to_type" in values:
        values["to_type"] = DType(values["to_type"])
    for field in fields(layer):  # type: ignore[arg-type]
        if field.type == "Network":
            values[field.name] = bodies[values[field.name]]
    return layer(**values)


def _object(name: str, entries: dict[str, Any]) -> str:
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in entries.items())
    return f'"{name}": {{\n{lines}\n}}'
