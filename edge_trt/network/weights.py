# SPDX-License-Identifier: Apache-2.0
"""Weights of all networks of a bundle in one safetensors file, written and read without copies.

The safetensors library wants every tensor as bytes before it writes the first one; here arrays are
streamed from where they are, so that a model's weights are in memory once. The format is an 8-byte
little-endian header length, a JSON header, and the raw tensors without gaps
(https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import json
import mmap
import os
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

ALIGNMENT = 64
"""Start of the data, and so of the first and largest tensors, in bytes."""

_CODES: dict[str, str] = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "complex64": "C64",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
_DTYPES = {
    code: np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    for name, code in _CODES.items()
}


Observer = Callable[["bytes | memoryview"], object]
"""Sees every byte of a file in order, as it is written."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a tensor lies in its file, in bytes."""

    offset: int
    length: int

    def entries(self) -> list[tuple[str, str]]:
        """As ONNX writes it: pairs of text."""
        return [("offset", str(self.offset)), ("length", str(self.length))]


class WeightStore:
    """Collects arrays under names and writes them once.

    Arrays that share memory, type and shape are stored once, however many networks use them.
    """

    def __init__(self) -> None:
        self._arrays: dict[str, np.ndarray] = {}
        self._keys: dict[tuple[int, str, tuple[int, ...], tuple[int, ...]], str] = {}
        self._extents: dict[str, Extent] = {}

    def add(self, array: np.ndarray, name: str) -> str:
        """Registers an array and returns its key, `name` or a variation of it."""
        known = self.key(array)
        if known is not None:
            return known
        self._extents.clear()
        key, count = name, 0
        while key in self._arrays:
            count += 1
            key = f"{name}.{count}"
        self._arrays[key] = array
        self._keys[_identity(array)] = key
        return key

    def key(self, array: np.ndarray) -> str | None:
        """The key of a registered array, None for any other."""
        return self._keys.get(_identity(array))

    def __len__(self) -> int:
        return len(self._arrays)

    @property
    def nbytes(self) -> int:
        """Size of all tensors together, in bytes."""
        return sum(a.nbytes for a in self._arrays.values())

    def extent(self, key: str) -> Extent:
        """Where `key` will lie in the file. Adding another array moves everything."""
        if not self._extents:
            self._header()
        return self._extents[key]

    def write(
        self, path: Path, observe: Callable[[bytes | memoryview], object] | None = None
    ) -> None:
        """Writes the file; `observe` sees every byte in order, to hash it on the way."""
        header = self._header()
        with path.open("wb") as file:
            _emit(file, header, observe)
            for key in self._order():
                array = np.ascontiguousarray(self._arrays[key])
                _emit(file, array.reshape(-1).view(np.uint8).data, observe)

    def is_written(self, path: Path) -> bool:
        """Whether a file was written by a store of these very names, types and shapes.

        Meant for a file that this store's arrays are views of: contents are not compared.
        """
        header = self._header()
        with path.open("rb") as file:
            return file.read(len(header)) == header

    def _order(self) -> list[str]:
        """Widest elements and largest tensors first: no tensor is then misaligned."""

        def rank(key: str) -> tuple[int, int, str]:
            return (-self._arrays[key].itemsize, -self._arrays[key].nbytes, key)

        return sorted(self._arrays, key=rank)

    def _header(self) -> bytes:
        entries: dict[str, Any] = {}
        offset = 0
        for key in self._order():
            array = self._arrays[key]
            entries[key] = {
                "dtype": _CODES[array.dtype.name],
                "shape": list(array.shape),
                "data_offsets": [offset, offset + array.nbytes],
            }
            offset += array.nbytes
        text = json.dumps(entries, separators=(",", ":")).encode()
        text += b" " * (-(8 + len(text)) % ALIGNMENT)
        start = 8 + len(text)
        self._extents = {
            key: Extent(start + e["data_offsets"][0], e["data_offsets"][1] - e["data_offsets"][0])
            for key, e in entries.items()
        }
        return len(text).to_bytes(8, "little") + text


class MappedFile(mmap.mmap):
    """A file in memory that knows where it came from."""

    path: Path
    status: os.stat_result

    @classmethod
    def of(cls, path: Path) -> MappedFile:
        """Maps a whole file, to read from it."""
        with path.open("rb") as file:
            mapped = cls(file.fileno(), 0, access=mmap.ACCESS_READ)
            mapped.path, mapped.status = path.resolve(), os.fstat(file.fileno())
        return mapped

    def is_there(self) -> bool:
        """Whether the path still leads to the file that is mapped, unchanged."""
        try:
            now = self.path.stat()
        except OSError:
            return False
        return _version(now) == _version(self.status)


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def read_weights(path: Path) -> Mapping[str, np.ndarray]:
    """The tensors of a safetensors file as read-only views of one memory map.

    Raises:
        ValueError: the file is not a whole safetensors file.
    """
    mapped = MappedFile.of(path)
    result: dict[str, np.ndarray] = {}
    for key, (entry, extent) in _entries(mapped, path.name).items():
        dtype = _DTYPES[entry["dtype"]]
        flat = np.frombuffer(mapped, dtype, extent.length // dtype.itemsize, extent.offset)
        result[key] = flat.reshape(entry["shape"])
    return result


def release(arrays: Iterable[np.ndarray]) -> None:
    """Lets go of the memory of memory-mapped arrays; what is read again comes from the file again.

    A map counts as this process's memory from when its pages are first read.
    """
    maps = {id(base): base for base in map(_base, arrays) if isinstance(base, mmap.mmap)}
    for mapped in maps.values():
        if hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


@contextmanager
def releasing(arrays: Sequence[np.ndarray], pause: float = 0.05) -> Generator[None]:
    """Calls `release` again and again, for a block that reads arrays one after the other.

    So few of them count as this process's memory at any time, and none that was copied already.

    Args:
        arrays: memory-mapped or not.
        pause: seconds between two calls.
    """
    over = threading.Event()

    def run() -> None:
        while not over.wait(pause):
            release(arrays)

    thread = threading.Thread(target=run, name="edge_trt-release", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def place_of(array: np.ndarray) -> tuple[Path, Extent] | None:
    """The file that an array's bytes are mapped from, and where in it they lie.

    None for any other array, for a part of one with gaps, and where the file was replaced since.
    """
    mapped = _base(array)
    if not isinstance(mapped, MappedFile) or not array.flags.c_contiguous:
        return None
    if not mapped.is_there():
        return None
    start = np.frombuffer(mapped, np.uint8).ctypes.data
    return mapped.path, Extent(array.ctypes.data - start, array.nbytes)


def _base(array: Any) -> Any:
    """What an array is a view of, in the end."""
    while isinstance(array, np.ndarray | memoryview):
        array = array.obj if isinstance(array, memoryview) else array.base
    return array


def read_extents(path: Path) -> dict[str, Extent]:
    """Where the tensors of a safetensors file lie.

    Raises:
        ValueError: the file is not a whole safetensors file.
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return {key: extent for key, (_, extent) in _entries(mapped, path.name).items()}


def _entries(mapped: mmap.mmap, name: str) -> dict[str, tuple[dict[str, Any], Extent]]:
    """The header's entry and the place of every tensor."""
    size = int.from_bytes(mapped[:8], "little")
    if len(mapped) < 8 + size:
        raise ValueError(f"{name} is truncated: its header needs {size} bytes")
    entries: dict[str, Any] = json.loads(mapped[8 : 8 + size])
    found: dict[str, tuple[dict[str, Any], Extent]] = {}
    for key, entry in entries.items():
        if key == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        if 8 + size + end > len(mapped):
            raise ValueError(f"{name} is truncated: tensor {key} is not whole")
        found[key] = (entry, Extent(8 + size + begin, end - begin))
    return found


def _identity(array: np.ndarray) -> tuple[int, str, tuple[int, ...], tuple[int, ...]]:
    """Equal for views of the same memory; the store keeps its arrays, so none is reused."""
    return (array.ctypes.data, str(array.dtype), array.shape, array.strides)


def _emit(
    file: BinaryIO,
    data: bytes | memoryview,
    observe: Observer | None,
) -> None:
    file.write(data)
    if observe is not None:
        observe(data)
