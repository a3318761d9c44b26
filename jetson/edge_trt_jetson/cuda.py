# SPDX-License-Identifier: Apache-2.0
"""The CUDA driver, asked through ctypes: present, its version, its devices.

Asked before TensorRT is touched, whose objects misbehave without a driver. No context is created.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76  # CUdevice_attribute


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU: its name and compute capability (`8.7`)."""

    name: str
    capability: str


@dataclass(frozen=True, slots=True)
class Driver:
    """State of the CUDA driver.

    Attributes:
        loaded: Whether the library was found.
        version: CUDA version that the driver supports, such as `12.6`; empty if unknown.
        devices: GPUs that it serves; empty when it cannot be used.
        problem: Why it cannot be used; empty otherwise.
    """

    loaded: bool
    version: str
    devices: tuple[Device, ...]
    problem: str


def driver(library: str = "libcuda.so.1") -> Driver:
    """Load the driver library, start it, and list its devices."""
    try:
        lib = ctypes.CDLL(library)
    except OSError:
        return Driver(False, "", (), f"{library} is not installed")
    result = int(lib.cuInit(0))
    if result != 0:
        return Driver(True, _version(lib), (), f"cuInit failed: {_error_name(lib, result)}")
    count = ctypes.c_int()
    result = int(lib.cuDeviceGetCount(ctypes.byref(count)))
    if result != 0 or count.value == 0:
        return Driver(True, _version(lib), (), "the driver reports no device")
    return Driver(True, _version(lib), tuple(_device(lib, i) for i in range(count.value)), "")


def _version(lib: ctypes.CDLL) -> str:
    number = ctypes.c_int()
    if int(lib.cuDriverGetVersion(ctypes.byref(number))) != 0:
        return ""
    return f"{number.value // 1000}.{number.value % 1000 // 10}"


def _error_name(lib: ctypes.CDLL, result: int) -> str:
    text = ctypes.c_char_p()
    lib.cuGetErrorName(result, ctypes.byref(text))
    return f"{text.value.decode()} ({result})" if text.value else f"error {result}"


def _device(lib: ctypes.CDLL, index: int) -> Device:
    handle = ctypes.c_int()
    lib.cuDeviceGet(ctypes.byref(handle), index)
    name = ctypes.create_string_buffer(100)
    lib.cuDeviceGetName(name, len(name), handle)
    numbers: list[int] = []
    for attribute in (CAPABILITY_MAJOR, CAPABILITY_MINOR):
        value = ctypes.c_int()
        lib.cuDeviceGetAttribute(ctypes.byref(value), attribute, handle)
        numbers.append(value.value)
    return Device(name.value.decode(), f"{numbers[0]}.{numbers[1]}")
