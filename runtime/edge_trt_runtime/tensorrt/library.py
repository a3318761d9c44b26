# SPDX-License-Identifier: Apache-2.0
"""The TensorRT family: one Python API, under several names.

`tensorrt` is JetPack's and the desktop's, `tensorrt_rtx` that of GeForce and RTX GPUs;
`tensorrt_lean` and `tensorrt_dispatch` can only run plans, those that were built for any later
version.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

from edge_trt_runtime.errors import EngineError

_MODULES = {
    "tensorrt": ("tensorrt",),
    "tensorrt_rtx": ("tensorrt_rtx",),
    # Wheels of the runtime halves name the module after the bindings.
    "tensorrt_lean": ("tensorrt_lean", "tensorrt_lean_bindings"),
    "tensorrt_dispatch": ("tensorrt_dispatch", "tensorrt_dispatch_bindings"),
}

_INSTALL = {
    "tensorrt": "on a Jetson: sudo apt-get install python3-libnvinfer, in an environment made with "
    "--system-site-packages; elsewhere: pip install tensorrt",
    "tensorrt_rtx": "pip install tensorrt-rtx",
    "tensorrt_lean": "pip install tensorrt-lean",
    "tensorrt_dispatch": "pip install tensorrt-dispatch",
}


class Library(NamedTuple):
    """An installed member of the family.

    Attributes:
        flavour: Its name in manifests.
        module: The imported module.
        version: Such as ``10.3.0`` or ``1.7.1.116``.
    """

    flavour: str
    module: Any
    version: str

    @property
    def release(self) -> tuple[int, ...]:
        """The first three numbers of the version, which a plan is tied to."""
        return release(self.version)

    def __str__(self) -> str:
        """Name and version, for sentences."""
        return f"{self.flavour} {self.version}"


def release(version: str) -> tuple[int, ...]:
    """Return the first three numbers of a version."""
    numbers = [part for part in version.split(".")[:3] if part.isdecimal()]
    return tuple(int(number) for number in numbers)


def open_library(flavour: str) -> Library:
    """Import a flavour.

    Raises:
        EngineError: When it is unknown, not installed, or its libraries can't be loaded.
    """
    if flavour not in _MODULES:
        raise EngineError(
            f"it is for {flavour!r}, which this edge_trt_runtime does not know",
            hint="pip install --upgrade edge-trt-runtime",
        )
    for name in _MODULES[flavour]:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name == name:
                continue
            raise _broken(flavour, error) from error
        except (ImportError, OSError) as error:
            raise _broken(flavour, error) from error
        return Library(flavour, module, str(module.__version__))
    raise EngineError(f"{flavour} is not installed", hint=_INSTALL[flavour])


def _broken(flavour: str, error: Exception) -> EngineError:
    return EngineError(f"{flavour} can't be loaded ({error})", hint=_INSTALL[flavour])
