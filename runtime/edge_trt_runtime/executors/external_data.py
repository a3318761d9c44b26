# SPDX-License-Identifier: Apache-2.0
"""Which files an ONNX model reads its weights from.

Older ONNX Runtimes (1.21 to 1.23 were tried) follow such a reference out of the given folder, so it
is looked up first. Only the few protobuf fields on the way to the references are read; the weights
themselves are not in the model (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class _Message(NamedTuple):
    """A protobuf message type: field number -> type of the messages in that field."""

    name: str
    fields: dict[int, _Message]


_ENTRY = _Message("StringStringEntryProto", {})
_TENSOR = _Message("TensorProto", {13: _ENTRY})
_SPARSE = _Message("SparseTensorProto", {1: _TENSOR, 2: _TENSOR})
_GRAPH = _Message("GraphProto", {5: _TENSOR, 15: _SPARSE})
_ATTRIBUTE = _Message(
    "AttributeProto",
    {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
)
_NODE = _Message("NodeProto", {5: _ATTRIBUTE})
_GRAPH.fields[1] = _NODE
_FUNCTION = _Message("FunctionProto", {7: _NODE, 11: _ATTRIBUTE})
_MODEL = _Message("ModelProto", {7: _GRAPH, 25: _FUNCTION})

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def external_files(model: bytes) -> set[str]:
    """Return the locations of all external data of a serialized ONNX model.

    Raises:
        ValueError: When it is not a whole protobuf message.
    """
    found: set[str] = set()
    pending = [(_MODEL, memoryview(model))]
    while pending:
        message, data = pending.pop()
        if message is _ENTRY:
            fields = list(_fields(data))
            if any(number == 1 and value == b"location" for number, value in fields):
                found.update(str(value, "utf-8") for number, value in fields if number == 2)
            continue
        for number, value in _fields(data):
            if number in message.fields:
                pending.append((message.fields[number], value))
    return found


class ExternalTensor(NamedTuple):
    """A tensor of an ONNX model whose bytes lie elsewhere."""

    location: str
    offset: int
    length: int


def external_tensors(model: bytes) -> list[ExternalTensor]:
    """Return where a model that the compiler wrote has the bytes of its weights.

    Raises:
        ValueError: When it is not a whole protobuf message, or a reference is not complete.
    """
    found: list[ExternalTensor] = []
    pending = [(_MODEL, memoryview(model))]
    while pending:
        message, data = pending.pop()
        inner = [(number, value) for number, value in _fields(data) if number in message.fields]
        if message is _TENSOR and inner:
            entries = dict(_entry(value) for _, value in inner)
            if not {"location", "offset", "length"} <= entries.keys():
                raise ValueError("a reference to external data is not complete")
            offset, length = int(entries["offset"]), int(entries["length"])
            found.append(ExternalTensor(entries["location"], offset, length))
            continue
        pending.extend((message.fields[number], value) for number, value in inner)
    return found


def _entry(data: memoryview) -> tuple[str, str]:
    """Return key and value of an entry."""
    fields = {number: str(value, "utf-8") for number, value in _fields(data)}
    return fields.get(1, ""), fields.get(2, "")


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield (number, content) of the fields that hold bytes."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == _VARINT:
            _, position = _varint(data, position)
            continue
        if kind == _BYTES:
            length, position = _varint(data, position)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"protobuf wire type {kind} at byte {position}")
        end = position + length
        if end > len(data):
            raise ValueError("the protobuf message is truncated")
        if kind == _BYTES:
            yield tag >> 3, data[position:end]
        position = end


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Return (value, position after it)."""
    value = shift = 0
    while position < len(data) and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    raise ValueError("the protobuf message is truncated")
