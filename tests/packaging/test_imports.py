# SPDX-License-Identifier: Apache-2.0
"""Who may import what: the layer contracts, and a short list of third parties per package."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"edge_trt", "edge_trt_runtime", "edge_trt_calibration", "edge_trt_jetson"}

PACKAGES = {
    "edge_trt": ROOT / "edge_trt",
    "edge_trt_runtime": ROOT / "runtime/edge_trt_runtime",
    "edge_trt_calibration": ROOT / "calibration/edge_trt_calibration",
    "edge_trt_jetson": ROOT / "jetson/edge_trt_jetson",
}

# What importing any module of the package may load, and what a function may load when it runs.
AT_ONCE = {
    "edge_trt_runtime": {"numpy", "msgspec"},
    "edge_trt_calibration": {"numpy"},
    "edge_trt_jetson": set(),
}
LATER = {
    "edge_trt_runtime": {"onnxruntime", "torch"},
    "edge_trt_calibration": set(),
    "edge_trt_jetson": {"tomli"},  # before Python 3.11
}

# Import names whose distribution is called otherwise.
DISTRIBUTIONS = {"PIL": "pillow", "tensorrt_rtx": "tensorrt-rtx", "yaml": "pyyaml"}

# Imported where it is present, and never asked for: JetPack brings it.
NEVER_DECLARED = {"tensorrt", "tensorrt_lean", "tensorrt_dispatch"}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Top-level names of imported third parties, and whether importing the file imports them."""
    tree = ast.parse(path.read_text(), str(path))
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        at_once = not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for child in ast.walk(node):
            if isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                names = [child.module or ""]
            else:
                continue
            for name in (n.split(".")[0] for n in names):
                if name not in sys.stdlib_module_names and name not in OURS:
                    yield name, at_once


def files(package: str) -> list[Path]:
    return sorted(PACKAGES[package].rglob("*.py"))


def test_layer_contracts_hold() -> None:
    tool = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [tool, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("package", AT_ONCE)
def test_third_parties(package: str) -> None:
    for path in files(package):
        for name, at_once in imports(path):
            allowed = AT_ONCE[package] if at_once else AT_ONCE[package] | LATER[package]
            assert name in allowed, f"{path} imports {name}"


def test_every_third_party_is_declared() -> None:
    declared = {
        re.split(r"[^\w-]", requirement, maxsplit=1)[0].lower().replace("_", "-")
        for requirement in metadata.requires("edge-trt") or []
        if "extra == 'dev'" not in requirement
    }
    used = {name for path in files("edge_trt") for name, _ in imports(path)} - NEVER_DECLARED
    missing = {n for n in used if DISTRIBUTIONS.get(n, n).lower().replace("_", "-") not in declared}
    # Pillow is offered, not needed: only `edge_trt run` on an image asks for it, by name.
    assert missing <= {"PIL"}
