# SPDX-License-Identifier: Apache-2.0
"""Declaring torchvision's operators only where they are missing.

Each case needs a process of its own, because what is declared stays declared.
"""

from __future__ import annotations

import _struct
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PACKAGE = "import torch\nHAD_NMS = hasattr(torch.ops.torchvision, 'nms')\n"


def run(code, folder):
    """Run code in a process that finds the torchvision of ``folder``."""
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "torchvision"
    folder.mkdir()
    (folder / "__init__.py").write_text(PACKAGE)
    return folder


IMPORT = """
from edge_trt.capture.torchvision_ops import declare_missing_operators, declared_on_import
with declared_on_import():
    import torchvision
print(torchvision.HAD_NMS, len(declare_missing_operators()))
"""


def test_a_torchvision_whose_extension_does_not_load_is_helped(package):
    (package / "_C.so").write_bytes(b"\x7fELF for another torch")
    assert run(IMPORT, package.parent).split() == ["True", "12"]


def test_a_torchvision_without_an_extension_is_helped(package):
    assert run(IMPORT, package.parent).split() == ["True", "12"]


def test_a_torchvision_whose_extension_loads_is_left_alone(package):
    if not hasattr(_struct, "__file__"):
        pytest.skip("this Python has no extension module to stand in for torchvision's")
    shutil.copy(_struct.__file__, package / f"_C{''.join(Path(_struct.__file__).suffixes[-1:])}")
    assert run(IMPORT, package.parent).split() == ["False", "0"]


def test_operators_that_somebody_declared_are_left_alone(package):
    code = """
import torch
library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
    assert run(code + IMPORT, package.parent).split() == ["True", "11"]


def test_a_torchvision_that_is_loaded_already_is_left_alone(package):
    assert run("import torchvision" + IMPORT, package.parent).split() == ["False", "0"]


def test_nothing_happens_without_an_import(package):
    code = """
import sys, torch
from edge_trt.capture import capture, Input
capture(torch.nn.ReLU().eval(), Input((2,)))
print("torchvision" in sys.modules, hasattr(torch.ops.torchvision, "nms"), len(sys.meta_path))
"""
    assert run(code, package.parent).split()[:2] == ["False", "False"]


@pytest.mark.skipif(find_spec("torchvision") is None, reason="needs edge-trt[models]")
def test_the_schemas_have_the_arguments_of_torchvisions_own_shape_functions():
    code = """
import inspect
from edge_trt.capture.torchvision_ops import SCHEMAS, declared_on_import
with declared_on_import():
    from torchvision import _meta_registrations as shape_functions
import torch
compared = 0
for schema in SCHEMAS:
    parsed = torch._C.parse_schema(f"torchvision::{schema}")
    name = parsed.name.partition("::")[2]
    function = getattr(shape_functions, f"meta_{name.lstrip('_')}", None)
    if function is not None:
        compared += 1
        ours = [argument.name for argument in parsed.arguments]
        theirs = list(inspect.signature(function).parameters)
        # Their function for deform_conv2d abbreviates some of the schema's names.
        assert ours == theirs or ("deform" in name and len(ours) == len(theirs)), name
    real = getattr(torch.ops.torchvision, name).default._schema
    assert str(real) == str(parsed), name
print(compared)
"""
    assert int(run(code, Path())) >= 8
