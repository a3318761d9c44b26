# SPDX-License-Identifier: Apache-2.0
"""Arrays of libraries that are none, on a GPU that is none."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from edge_trt_runtime.dlpack import DLTensor
from tests.support.fake_cuda import Allocation, FakeDevice, Stream

LEFT_OUT = object()
"""In place of what an interface says: it does not say it."""

CODES = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}


class Foreign:
    """An array in device memory that its library makes on a stream, when the stream comes to it."""

    def __init__(
        self, device: FakeDevice, value: np.ndarray, *, offset: int = 0, at: int | None = None
    ) -> None:
        self.device = device
        self.value = np.ascontiguousarray(value)
        with device:
            self.memory = None if at else Allocation(device, offset + self.value.nbytes)
            self.stream = Stream(device)
        device.others.append(self.stream)
        self.pointer = at or self.memory.address + offset  # type: ignore[union-attr]
        if at is None:
            self.make(self.value)

    def make(self, value: np.ndarray) -> None:
        """Queues that the array gets another value."""
        self.value = np.ascontiguousarray(value)
        kept = self.value.copy()
        with self.device:
            self.stream.queue(lambda: self.device.write(self.pointer, kept))

    def now(self) -> np.ndarray:
        """What lies there."""
        return self.device.read(self.pointer, self.value.shape, self.value.dtype).copy()

    def free(self) -> None:
        self.memory.free()  # type: ignore[union-attr]


class WithInterface(Foreign):
    """Shows itself by `__cuda_array_interface__`; `said` is what it says otherwise."""

    def __init__(self, *args: Any, said: dict[str, Any] | None = None, **more: Any) -> None:
        super().__init__(*args, **more)
        self.said = said or {}

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        said = {
            "shape": self.value.shape,
            "typestr": self.value.dtype.str,
            "data": (self.pointer, False),
            "version": 3,
            "stream": self.stream.handle,
            **self.said,
        }
        return {key: value for key, value in said.items() if value is not LEFT_OUT}


class Managed(ctypes.Structure):
    """What a capsule points to."""

    _fields_ = (("tensor", DLTensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class WithDlpack(Foreign):
    """Shows itself by DLPack.

    Attributes:
        kind: Of the device.
        ordinal: Its number.
        strides: In elements, or None.
        code: Of the type, or None for that of the value.
        refuses: What it raises.
        handed: Streams that it was asked to be ready on.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.kind, self.ordinal = 2, 0
        self.strides: tuple[int, ...] | None = None
        self.code: tuple[int, int] | None = None
        self.refuses = ""
        self.handed: list[int] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind, self.ordinal

    def __dlpack__(self, *, stream: int) -> Any:
        if self.refuses:
            raise BufferError(self.refuses)
        if stream != -1:
            self.handed.append(stream)
            self.device.join(self.device.by_handle(stream), self.stream.handle)
        sizes = (ctypes.c_int64 * self.value.ndim)(*self.value.shape)
        strides = None
        if self.strides is not None:
            strides = (ctypes.c_int64 * self.value.ndim)(*self.strides)
        code, bits = self.code or (CODES[self.value.dtype.kind], 8 * self.value.dtype.itemsize)
        managed = Managed(
            DLTensor(
                self.pointer - 64,  # as some libraries give the start of their memory
                self.kind, self.ordinal, self.value.ndim, code, bits, 1, sizes, strides, 64,
            )
        )  # fmt: skip
        make = ctypes.pythonapi.PyCapsule_New
        make.restype = ctypes.py_object
        make.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
        self.kept = [managed, sizes, strides]
        return make(ctypes.addressof(managed), b"dltensor", None)
