# SPDX-License-Identifier: Apache-2.0
"""A small reader of safetensors files, memory-mapped.

Format: the header's length as 8 little-endian bytes, the header as JSON (name -> dtype, shape,
data_offsets), then raw little-endian data (https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import math
import mmap
from typing import Any

import msgspec
import numpy as np

from edge_trt_runtime.errors import BundleError
from edge_trt_runtime.repeated_names import repeated_name

_DTYPES = {
    "BOOL": "bool", "I8": "int8", "I16": "<i2", "I32": "<i4", "I64": "<i8",
    "U8": "uint8", "U16": "<u2", "U32": "<u4", "U64": "<u8",
    "F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<c8",
}  # fmt: skip


class _Entry(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def read_tensors(path: str) -> dict[str, np.ndarray]:
    """Map the file at ``path`` and return its arrays as read-only views.

    Raises:
        BundleError: When the file is damaged, or has a type that numpy lacks.
    """
    with open(path, "rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:  # an empty file can't be mapped
            raise _damage(path, "it is empty") from error
    start = 8 + int.from_bytes(data[:8], "little")
    if len(data) < 8 or start > len(data):
        raise _damage(path, "its header is longer than the file")
    try:
        header = msgspec.json.decode(data[8:start], type=dict[str, msgspec.Raw])
        header.pop("__metadata__", None)
        entries = {name: msgspec.json.decode(raw, type=_Entry) for name, raw in header.items()}
        if (name := repeated_name(data[8:start])) is not None:
            raise _damage(path, f"{name!r} stands twice in its header")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _damage(path, f"its header is malformed ({error})") from error
    return {name: _view(path, data, start, name, entry) for name, entry in entries.items()}


def _view(path: str, data: mmap.mmap, start: int, name: str, entry: _Entry) -> np.ndarray:
    if entry.dtype not in _DTYPES:
        raise _damage(path, f"{name!r} has the type {entry.dtype}, which numpy lacks")
    dtype = np.dtype(_DTYPES[entry.dtype])
    begin, end = entry.data_offsets
    count = math.prod(entry.shape)
    if min(entry.shape, default=0) < 0 or not 0 <= begin <= end <= len(data) - start:
        raise _damage(path, f"{name!r} lies outside the file")
    if end - begin != count * dtype.itemsize:
        raise _damage(path, f"{name!r} has {end - begin} bytes, which is not its shape's size")
    try:
        if count == 0:
            return np.empty(entry.shape, dtype)
        flat: Any = np.frombuffer(data, dtype, count, start + begin)
        return flat.reshape(entry.shape)
    except (ValueError, OverflowError) as error:  # too many dimensions, a size beyond 64 bits
        raise _damage(path, f"{name!r} can't have its shape ({error})") from error


def _damage(path: str, what: str) -> BundleError:
    return BundleError(f"{path} can't be read: {what}", file=path, hint="build the bundle again")
