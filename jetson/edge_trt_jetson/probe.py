# SPDX-License-Identifier: Apache-2.0
"""What is installed on this machine, what that allows, and the command that adds what is missing.

Heavy packages are looked up by their metadata and not imported: torch alone takes seconds, and
PyCUDA opens the driver. TensorRT is imported, because an installed but broken one is common.
"""

from __future__ import annotations

import importlib
import platform
import sys
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

from edge_trt_jetson import cuda
from edge_trt_jetson.checks import Check, Status
from edge_trt_jetson.detect import Detection, detect


@dataclass(frozen=True, slots=True)
class Package:
    """A Python package that is looked up without being imported."""

    module: str
    distributions: tuple[str, ...]
    allows: str
    fix: str


PACKAGES = (
    Package("numpy", ("numpy",), "running bundles", "pip install numpy"),
    Package("msgspec", ("msgspec",), "reading bundles", "pip install msgspec"),
    Package(
        "onnxruntime",
        ("onnxruntime", "onnxruntime-gpu"),
        "running bundles on the CPU, checking results",
        "pip install 'edge-trt[cpu]'",
    ),
    Package("onnx", ("onnx",), "building CPU engines", "pip install 'edge-trt[cpu]'"),
    Package(
        "torch",
        ("torch",),
        "compiling PyTorch models (not needed to run them)",
        "pip install 'edge-trt[torch]'",
    ),
    Package("timm", ("timm",), "models named timm:...", "pip install 'edge-trt[models]'"),
    Package(
        "torchvision",
        ("torchvision",),
        "models named torchvision:...",
        "pip install 'edge-trt[models]'",
    ),
    Package(
        "pycuda",
        ("pycuda",),
        "running TensorRT plans (pinned memory, streams)",
        "PATH=/usr/local/cuda/bin:$PATH pip install pycuda",
    ),
    Package("PIL", ("pillow",), "image files as inputs", "pip install pillow"),
)


def run(root: str | Path = "/") -> list[Check]:
    """All checks, from the machine upwards."""
    found = detect(root)
    driver = cuda.driver()
    return [
        check_python(),
        check_board(found),
        *(_check_state(root) if found is not None else []),
        check_driver(driver, on_jetson=found is not None),
        *check_tensorrt(driver, on_jetson=found is not None),
        *(check_package(package) for package in PACKAGES),
    ]


def _check_state(root: str | Path) -> list[Check]:
    """The state of a Jetson; what reads its sensors is imported there alone."""
    from edge_trt_jetson.board_checks import check_board_state

    return check_board_state(root)


def check_python() -> Check:
    """The interpreter: 3.10 to 3.13."""
    version = platform.python_version()
    text = f"{version} on {platform.machine()}"
    if (3, 10) <= sys.version_info[:2] <= (3, 13):
        return Check("python", "ok", text, "everything")
    return Check("python", "broken", text, "everything", "use Python 3.10 to 3.13")


def check_board(found: Detection | None) -> Check:
    """The Jetson that this is, if it is one."""
    allows = "building for this board natively"
    if found is None:
        return Check("board", "missing", "not a Jetson", allows, "run edge_trt on the board itself")
    release = found.release
    jetpack = f"L4T {found.l4t or 'unknown'}"
    if release is not None:
        jetpack += f", JetPack {release.jetpack} (ships TensorRT {release.tensorrt})"
    name = found.board.name if found.board else found.model or found.soc or "unknown board"
    text = f"{name}; {jetpack}"
    if found.board is not None and not found.board.supported:
        return Check(
            "board", "broken", text, allows, "edge_trt needs JetPack 6 (Python 3.10) or newer"
        )
    if release is not None and release.python_version < (3, 10):
        return Check("board", "broken", text, allows, "flash JetPack 6 or newer")
    if found.board is None:
        return Check("board", "missing", text, allows, _name_it(found))
    return Check("board", "ok", text, allows, " ".join(found.warnings))


def _name_it(found: Detection) -> str:
    """What helps where several boards fit: a native build wants to be told which."""
    names = [board.name for board in found.candidates if board.supported]
    if not names:
        return "edge_trt knows no such board (edge_trt boards lists those that it knows)"
    words = " ".join(found.warnings)
    return f"{words} Name it: edge_trt build BUNDLE --target {' or '.join(names)}"


def check_driver(driver: cuda.Driver, *, on_jetson: bool) -> Check:
    """The CUDA driver and its first device."""
    allows = "running TensorRT plans on the GPU"
    if driver.devices:
        first = driver.devices[0]
        text = f"CUDA {driver.version}, {first.name} (compute capability {first.capability})"
        return Check("cuda driver", "ok", text, allows)
    fix = (
        "start the container with --runtime nvidia, or flash the board again"
        if on_jetson
        else "install the NVIDIA driver on a machine with an NVIDIA GPU"
    )
    status: Status = "broken" if driver.loaded else "missing"
    return Check("cuda driver", status, driver.problem, allows, fix)


FLAVOURS: tuple[tuple[str, str, str], ...] = (
    ("tensorrt", "building and running plans for Jetson and desktop GPUs", "pip install tensorrt"),
    (
        "tensorrt_rtx",
        "building plans for RTX GPUs, without a GPU too",
        "pip install 'edge-trt[rtx]'",
    ),
    ("tensorrt_lean", "running version-compatible plans", "pip install tensorrt-lean"),
    ("tensorrt_dispatch", "running version-compatible plans", "pip install tensorrt-dispatch"),
)


def check_tensorrt(driver: cuda.Driver, *, on_jetson: bool) -> list[Check]:
    """Each flavour of TensorRT: whether it imports, its version, the DLA cores it offers."""
    checks: list[Check] = []
    for module, allows, fix in FLAVOURS:
        if module == "tensorrt" and on_jetson:
            fix = _jetson_tensorrt_fix()
        try:
            trt = importlib.import_module(module)
        except ModuleNotFoundError:
            checks.append(Check(module, "missing", "not installed", allows, fix))
        except (ImportError, OSError, RuntimeError, AttributeError) as error:
            checks.append(Check(module, "broken", str(error).splitlines()[0], allows, fix))
        else:
            text = str(getattr(trt, "__version__", "unknown version"))
            if module == "tensorrt" and driver.devices:
                text += f", {offered_cores(trt)} DLA cores"
            checks.append(Check(module, "ok", text, allows))
    return checks


def check_package(package: Package) -> Check:
    """A package, by its metadata alone."""
    try:
        spec = util.find_spec(package.module)
    except (ImportError, ValueError):  # a finder refuses, or the module has no spec
        spec = None
    if spec is None:
        return Check(package.module, "missing", "not installed", package.allows, package.fix)
    return Check(package.module, "ok", _version(package.distributions), package.allows)


def _version(distributions: tuple[str, ...]) -> str:
    """The version of the first one that is installed.

    Folders of wheels carry it in their names; importing what reads everything else takes longer
    than all other checks.
    """
    for name in distributions:
        pattern = f"{name.replace('-', '_')}-*.dist-info"
        for folder in sys.path:
            if found := next(Path(folder).glob(pattern), None):
                return found.name.removesuffix(".dist-info").partition("-")[2]
    from importlib import metadata

    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown version"


def offered_cores(trt: Any) -> int:
    """How many DLA cores a TensorRT offers; kernel nodes and chip names prove nothing.

    Only with a driver: without one a Runtime object is hollow and touching it ends the process.
    """
    return int(trt.Runtime(trt.Logger(trt.Logger.ERROR)).num_DLA_cores)


def _jetson_tensorrt_fix() -> str:
    in_venv = sys.prefix != sys.base_prefix
    system = Path("/usr/lib/python3/dist-packages/tensorrt")
    if in_venv and system.exists():
        return "make the environment with: python3 -m venv --system-site-packages"
    return "sudo apt-get install nvidia-jetpack"
