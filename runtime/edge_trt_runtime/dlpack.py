# SPDX-License-Identifier: Apache-2.0
"""Reading a DLPack capsule, whose layout is that of the C header ``dlpack.h``."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

_KINDS = {0: "int", 1: "uint", 2: "float", 5: "complex"}
_BOOL, _BFLOAT = 6, 4


class DLTensor(ctypes.Structure):
    """The first member of what a capsule named ``dltensor`` points to."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


def read_capsule(
    capsule: Any,
) -> tuple[int, tuple[int, ...], tuple[int, ...] | None, np.dtype]:
    """Return address, shape, strides in elements and type of a capsule's tensor.

    The capsule is not consumed: it gives its memory back when it is dropped.

    Raises:
        ValueError: When it is no capsule of a tensor, or numpy has no such type.
    """
    point = ctypes.pythonapi.PyCapsule_GetPointer
    point.restype = ctypes.c_void_p
    point.argtypes = (ctypes.py_object, ctypes.c_char_p)
    tensor = DLTensor.from_address(point(capsule, b"dltensor"))
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = tuple(tensor.strides[: tensor.ndim]) if tensor.strides else None
    return (tensor.data or 0) + tensor.byte_offset, shape, strides, _dtype(tensor)


def _dtype(tensor: DLTensor) -> np.dtype:
    if tensor.lanes == 1 and tensor.code == _BOOL and tensor.bits == 8:
        return np.dtype(bool)
    name = "bfloat" if tensor.code == _BFLOAT else _KINDS.get(tensor.code, "type ")
    try:
        if tensor.lanes != 1 or tensor.code not in _KINDS:
            raise TypeError
        return np.dtype(f"{name}{tensor.bits}")
    except TypeError:
        raise ValueError(f"numpy has no {name}{tensor.bits}") from None
