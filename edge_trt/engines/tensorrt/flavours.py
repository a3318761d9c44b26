# SPDX-License-Identifier: Apache-2.0
"""The TensorRT family: which module serves a target, what it is called, and what it can do.

`tensorrt` (JetPack, desktop) and `tensorrt_rtx` share one Python API. All other code gets the
module handed in and asks for features; names and versions are compared here and nowhere else.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from edge_trt.errors import BuildError

FlavourName = Literal["tensorrt", "tensorrt_rtx"]

OLDEST_TENSORRT = (10, 3)
"""JetPack 6 ships 10.3; before it, int64 and strongly typed networks were not complete."""

NEWEST_TENSORRT = (11, 4)
"""The newest that emission is tested against; a newer major version may lack what is emitted."""

_INSTALL = {
    "tensorrt_rtx": "install it with: pip install tensorrt-rtx",
    "tensorrt": (
        "on a Jetson install it with: sudo apt-get install tensorrt python3-libnvinfer (and create"
        " a virtual environment with --system-site-packages); elsewhere: pip install tensorrt"
    ),
}


@dataclass(frozen=True, slots=True)
class Flavour:
    """One installed member of the family.

    Attributes:
        name: Import name, as a manifest spells it.
        module: The imported module.
        version: Its version: `10.3.0`, `1.7.1.120`.
    """

    name: FlavourName
    module: Any
    version: str

    @property
    def release(self) -> str:
        """The first three numbers of the version; plans are tied to them."""
        return ".".join(self.version.split(".")[:3])

    @property
    def has_timing_cache(self) -> bool:
        """Whether a timing cache shortens the build.

        TensorRT-RTX keeps the calls but measures nothing while it builds; using them there has no
        effect on the plan and makes it look for a GPU.
        """
        return self.name == "tensorrt"

    @property
    def has_compute_capabilities(self) -> bool:
        """Whether one build can name the GPUs that it is for."""
        return hasattr(self.module.IBuilderConfig, "set_compute_capability")

    @property
    def needs_gpu(self) -> bool:
        """Whether the builder measures kernels, so that only the target itself can build."""
        return self.name == "tensorrt"

    @property
    def is_newer_than_tested(self) -> bool:
        """Whether it is of a later minor version than the newest that is tested."""
        return self.name == "tensorrt" and _numbers(self.version) > NEWEST_TENSORRT

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def has_layer(trt: Any, method: str) -> bool:
    """Whether a flavour's network has a layer: `has_layer(trt, "add_cumulative")`."""
    return hasattr(trt.INetworkDefinition, method)


def network_flags(trt: Any, *, weak: bool = False) -> int:
    """Creation flags of a strongly typed network: asked for in 10.x, always so since 11.

    A `weak` one leaves precisions to the builder, which 10.x alone can do.

    Raises:
        BuildError: this TensorRT has strongly typed networks only.
    """
    if weak:
        if not hasattr(trt.BuilderFlag, "INT8"):
            raise BuildError(f"TensorRT {trt.__version__} has no networks without types")
        return 0
    flags = trt.NetworkDefinitionCreationFlag
    return 1 << int(flags.STRONGLY_TYPED) if hasattr(flags, "STRONGLY_TYPED") else 0


def flavour_of(target: str) -> FlavourName | None:
    """The flavour that builds for a target; None for `cpu`, which needs none."""
    return {"cpu": None, "rtx": "tensorrt_rtx"}.get(target, "tensorrt")  # type: ignore[return-value]


def check_installed(name: FlavourName) -> None:
    """Refuses a flavour that is not there, without loading it.

    Raises:
        BuildError: it is not installed; the text names the command that helps.
    """
    if importlib.util.find_spec(name) is None:
        raise BuildError(f"{name} is not installed here", hint=_INSTALL[name])


def load_flavour(name: FlavourName) -> Flavour:
    """Imports a flavour.

    Raises:
        BuildError: it is not installed, its libraries are missing, or it is too old or too new;
            the text says what helps.
    """
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise BuildError(f"{name} is damaged: {error}", hint=_INSTALL[name]) from error
        raise BuildError(f"{name} is not installed here", hint=_INSTALL[name]) from error
    except (ImportError, OSError) as error:
        raise BuildError(f"{name} can't load: {error}", hint=_INSTALL[name]) from error
    flavour = Flavour(name, module, str(module.__version__))
    if name == "tensorrt":
        _check_version(flavour.version)
    return flavour


def _check_version(version: str) -> None:
    """Refuses a TensorRT that nothing is emitted for.

    Raises:
        BuildError: it is too old, or of a major version that did not exist yet.
    """
    oldest = ".".join(map(str, OLDEST_TENSORRT))
    if _numbers(version) < OLDEST_TENSORRT:
        raise BuildError(
            f"TensorRT {version} is too old",
            hint=f"version {oldest} (JetPack 6) is the oldest that edge_trt builds with",
        )
    if _numbers(version)[:1] > NEWEST_TENSORRT[:1]:
        raise BuildError(
            f"TensorRT {version} is too new for this edge_trt, which builds with {oldest} to "
            f"{NEWEST_TENSORRT[0]}.x",
            hint=f"update edge_trt, or install TensorRT {NEWEST_TENSORRT[0]}",
        )


def newer_than_tested(flavours: Iterable[Flavour]) -> list[str]:
    """A sentence on each TensorRT that no test has seen."""
    newest = ".".join(map(str, NEWEST_TENSORRT))
    found = {f"TensorRT {f.version}" for f in flavours if f.is_newer_than_tested}
    return [
        f"{version} is newer than {newest}, the newest that edge_trt is tested against: if it "
        "refuses a network, update edge_trt"
        for version in sorted(found)
    ]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version)[:2])
