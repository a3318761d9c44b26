# SPDX-License-Identifier: Apache-2.0
"""The public surface: what `__all__` names exists, and type checkers see the same."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import edge_trt
import edge_trt_calibration
import edge_trt_jetson
import edge_trt_runtime

ROOT = Path(__file__).parents[2]
FACADES = ["edge_trt", "edge_trt_runtime"]


@pytest.mark.parametrize("name", FACADES)
def test_all_names_resolve(name: str) -> None:
    facade = importlib.import_module(name)
    for public in facade.__all__:
        assert getattr(facade, public) is not None
        assert public in dir(facade)
    assert len(facade.__all__) == len(set(facade.__all__))


@pytest.mark.parametrize("name", FACADES)
def test_type_checkers_see_the_same_names(name: str) -> None:
    facade = importlib.import_module(name)
    assert facade.__file__
    tree = ast.parse(Path(facade.__file__).read_text())
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edge_trt")
        for alias in node.names
    }
    assigned = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id != "__all__"
    }
    assert names - {"__version__"} == set(facade.__all__) - assigned - {"__version__"}


@pytest.mark.parametrize("name", FACADES)
def test_unknown_name(name: str) -> None:
    facade = importlib.import_module(name)
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'compyle'"):
        _ = facade.compyle


@pytest.mark.parametrize(
    "name",
    [*FACADES, "edge_trt_calibration", "edge_trt_jetson", "edge_trt.cli", "edge_trt.options"],
)
def test_import_is_light(name: str) -> None:
    code = (
        f"import sys, {name}; heavy = {{'torch', 'onnx', 'onnxruntime', 'rich', 'tensorrt_rtx'}};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_one_version() -> None:
    packages = (edge_trt, edge_trt_runtime, edge_trt_jetson, edge_trt_calibration)
    assert len({package.__version__ for package in packages}) == 1


def test_load_is_the_bundles() -> None:
    assert edge_trt.load == edge_trt.Bundle.load
