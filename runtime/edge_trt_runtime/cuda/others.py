# SPDX-License-Identifier: Apache-2.0
"""Streams and memory of other libraries, which PyCUDA has no calls for."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from edge_trt_runtime.errors import EngineError


def join(stream: int, other: int) -> bool:
    """Let a stream wait for what is queued on another one; both by their CUDA handles.

    Returns:
        False when cuda-bindings is missing.

    Raises:
        EngineError: When the driver refuses, as for a stream that is none.
    """
    cuda = _bindings()
    if cuda is None:
        return False
    flags = int(cuda.CUevent_flags.CU_EVENT_DISABLE_TIMING)
    event = _checked(cuda, cuda.cuEventCreate(flags))
    try:
        _checked(cuda, cuda.cuEventRecord(event, cuda.CUstream(other)))
        _checked(cuda, cuda.cuStreamWaitEvent(cuda.CUstream(stream), event, 0))
    finally:
        cuda.cuEventDestroy(event)  # once it has happened
    return True


def copy(target: int, source: int, size: int, stream: int) -> bool:
    """Queue a copy within the device on a stream, by its CUDA handle.

    Returns:
        False when cuda-bindings is missing.

    Raises:
        EngineError: When the driver refuses.
    """
    cuda = _bindings()
    if cuda is None:
        return False
    _checked(cuda, cuda.cuMemcpyDtoDAsync(target, source, size, cuda.CUstream(stream)))
    return True


def owner_of(pointer: int, default: int) -> int | None:
    """Return the number of the GPU of an address, None for one of none.

    Args:
        pointer: The address.
        default: The answer when cuda-bindings is missing.
    """
    cuda = _bindings()
    if cuda is None:
        return default
    attribute = cuda.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
    status, ordinal = cuda.cuPointerGetAttribute(attribute, pointer)
    return None if status else int(ordinal)


@functools.cache
def _bindings() -> Any:
    try:
        return importlib.import_module("cuda.bindings.driver")
    except ImportError:
        return None


def _checked(cuda: Any, result: tuple[Any, ...]) -> Any:
    status, *values = result
    if status != cuda.CUresult.CUDA_SUCCESS:
        raise EngineError(f"CUDA refuses a stream or an address: {status.name}")
    return values[0] if values else None
