# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's management library, asked through ctypes: load, clock, power and temperature of a GPU.

On Thor it alone tells the GPU's load; Orin and older boards tell it in the kernel's files. Desktop
GPUs tell everything here. The names and numbers are those of nvml.h.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

_SUCCESS = 0
_CLOCK_SM = 1  # nvmlClockType_t
_TEMPERATURE_GPU = 0  # nvmlTemperatureSensors_t


class _Utilization(ctypes.Structure):
    """nvmlUtilization_t: percent of the time since the driver's last look."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


@dataclass(frozen=True, slots=True)
class Gpu:
    """State of a GPU; None for what its driver doesn't tell.

    Attributes:
        load: Share of the time that kernels ran.
        hz: Clock of the multiprocessors in Hz.
        watts: Power of the GPU's board in W.
        celsius: Temperature in degrees Celsius.
    """

    load: float | None
    hz: int | None
    watts: float | None
    celsius: float | None


class Nvml:
    """The library, started, with its first GPU."""

    def __init__(self, library: str = "libnvidia-ml.so.1") -> None:
        """Load and start it.

        Raises:
            OSError: It isn't installed, has no GPU, or doesn't start; the text says which.
        """
        self._library = ctypes.CDLL(library)
        self._device = ctypes.c_void_p()
        try:
            start, find = self._library.nvmlInit_v2, self._library.nvmlDeviceGetHandleByIndex_v2
        except AttributeError:
            raise OSError(f"{library} is no NVML") from None
        status = int(start())
        if status != _SUCCESS:
            raise OSError(f"nvmlInit failed with status {status}")
        status = int(find(ctypes.c_uint(0), ctypes.byref(self._device)))
        if status != _SUCCESS:
            self.close()
            raise OSError(f"NVML has no GPU (status {status})")

    def read(self) -> Gpu:
        """The GPU's state now."""
        use = _Utilization()
        known = self._ask("nvmlDeviceGetUtilizationRates", ctypes.byref(use))
        megahertz = self._number("nvmlDeviceGetClockInfo", ctypes.c_int(_CLOCK_SM))
        milliwatts = self._number("nvmlDeviceGetPowerUsage")
        degrees = self._number("nvmlDeviceGetTemperature", ctypes.c_int(_TEMPERATURE_GPU))
        return Gpu(
            use.gpu / 100 if known else None,
            None if megahertz is None else megahertz * 1_000_000,
            None if milliwatts is None else milliwatts / 1000,
            None if degrees is None else float(degrees),
        )

    def close(self) -> None:
        """Shut the library down."""
        self._library.nvmlShutdown()

    def _ask(self, name: str, *arguments: object) -> bool:
        function = getattr(self._library, name, None)  # older libraries lack some
        return function is not None and int(function(self._device, *arguments)) == _SUCCESS

    def _number(self, name: str, *arguments: object) -> int | None:
        value = ctypes.c_uint()
        return value.value if self._ask(name, *arguments, ctypes.byref(value)) else None


def start() -> Nvml | None:
    """The library of this machine; None where it has none that works."""
    try:
        return Nvml()
    except OSError:
        return None
