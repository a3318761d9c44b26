# SPDX-License-Identifier: Apache-2.0
"""Every example program, run as its reader runs it, has to end with the table it promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
TORCH_FREE = "bundle, without torch"

# name of the example -> (column, row) of its last table -> what it has to say
PROMISED = {
    "digits": {
        ("eager PyTorch", "accuracy"): pytest.approx(0.985, abs=0.01),
        ("fp32", "accuracy"): pytest.approx(0.985, abs=0.01),
        ("fp16", "accuracy"): pytest.approx(0.985, abs=0.01),
        ("int8", "accuracy"): pytest.approx(0.985, abs=0.01),
        ("fp32", "agrees with eager"): "450/450",
        ("fp32", "operators in TensorRT"): "100%",
        ("fp32", "blocks"): "1",
    },
    "custom_operator": {
        ("eager PyTorch", "stars"): 60,
        (TORCH_FREE, "stars"): 60,
        (TORCH_FREE, "pictures with the same stars"): "8/8",
        (TORCH_FREE, "largest difference of a pixel"): pytest.approx(0, abs=1e-5),
    },
    "hybrid": {
        (TORCH_FREE, "IoU of class car"): pytest.approx(0.93, abs=0.02),
        (TORCH_FREE, "IoU of class person"): pytest.approx(0.73, abs=0.02),
        (TORCH_FREE, "cells of the same class"): "20480/20480",
        (TORCH_FREE, "scenes of the same pillars"): "20/20",
        (TORCH_FREE, "blocks in TensorRT"): 2,
        (TORCH_FREE, "blocks in ONNX Runtime"): 1,
        (TORCH_FREE, "blocks in PyTorch"): 0,
    },
    "detection": {
        ("eager PyTorch", "mean average precision"): pytest.approx(0.97, abs=0.02),
        (TORCH_FREE, "mean average precision"): pytest.approx(0.97, abs=0.02),
        (TORCH_FREE, "canvases with the same digits"): "40/40",
        (TORCH_FREE, "largest difference of an edge [px]"): pytest.approx(0, abs=1e-3),
        (TORCH_FREE, "runs in"): "tensorrt, then onnxruntime",
        (TORCH_FREE, "bytes of a frame"): 128 * 128,
    },
    "camera": {
        ("block", "results"): 60,
        ("block", "dropped"): 0,
        ("block", "frames per second"): pytest.approx(30, abs=3),
        ("block", "digits found right [%]"): pytest.approx(98, abs=2),
        ("block", "torch imported"): "no",
        ("latest", "frames per second"): pytest.approx(30, abs=3),
        ("block, unpaced", "results"): 300,
        ("latest, too fast", "frames of the source"): 1500,
        ("latest, too fast", "dropped"): pytest.approx(800, abs=690),
        ("latest, too fast", "digits found right [%]"): pytest.approx(98, abs=2),
    },
    "question_answering": {
        ("eager PyTorch", "right answers"): pytest.approx(1, abs=0.02),
        (TORCH_FREE, "right answers"): pytest.approx(1, abs=0.02),
        (TORCH_FREE, "largest difference of a score"): pytest.approx(0, abs=1e-3),
        (TORCH_FREE, "networks for TensorRT"): 1,
    },
    "segmentation": {
        ("eager PyTorch", "mean IoU"): pytest.approx(0.89, abs=0.01),
        (TORCH_FREE, "mean IoU"): pytest.approx(0.89, abs=0.01),
        (TORCH_FREE, "pixels of another class"): pytest.approx(0, abs=9),  # of 232,000
        (TORCH_FREE, "bytes that go in, per pixel"): 3,
        (TORCH_FREE, "networks for TensorRT"): 1,
    },
}
PICTURES = {"camera": "found.y4m", "detection": "found.png", "segmentation": "found.png"}


@pytest.mark.parametrize("name", PROMISED)
def test_an_example_ends_as_promised(name: str, tmp_path: Path) -> None:
    run(tmp_path, str(EXAMPLES / name / "main.py"), "--quick", "--json", "table.json")
    table = json.loads((tmp_path / "table.json").read_text())
    promised = PROMISED[name]
    assert {(column, row): table[column][row] for column, row in promised} == promised
    written = tmp_path / "build" / name
    assert list(written.glob("*.edge"))
    assert name not in PICTURES or (written / PICTURES[name]).is_file()


def test_every_example_is_tested_and_listed() -> None:
    programs = {path.parent.name for path in EXAMPLES.glob("*/main.py")}
    assert programs == set(PROMISED)
    listed = (EXAMPLES / "README.md").read_text()
    assert [name for name in programs if f"python examples/{name}/main.py" not in listed] == []


def test_what_runs_without_torch_says_how_it_is_called() -> None:
    command = [sys.executable, str(EXAMPLES / "torch_free.py"), "model.edge"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("usage: torch_free.py BUNDLE INPUTS.npz OUTPUTS.npz")


def test_the_detector_on_the_command_line(tmp_path: Path) -> None:
    """As its docstring says, with no kernels for torchvision but what edge_trt brings."""
    model = f"{EXAMPLES / 'detection' / 'model.py'}:create"
    run(tmp_path, "-m", "edge_trt", "build", model, "-o", "digits.edge", "--target", "cpu")
    run(tmp_path, "-m", "edge_trt", "verify", "digits.edge")


def test_an_installed_package_brings_its_operators(tmp_path: Path) -> None:
    """The entry point of starlib: a saved program is built where nothing else was said."""
    pip = ("-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    run(tmp_path, *pip, "--target", "installed", str(EXAMPLES / "custom_operator"))
    program = (
        "import torch, starlib.ops\n"
        "class Clean(torch.nn.Module):\n"
        "    def forward(self, sky):\n"
        "        return torch.ops.starlib.bilateral(sky, 1, 1.0, 0.2)\n"
        "torch.export.save(torch.export.export(Clean(), (torch.rand(1, 1, 8, 8),)), 'clean.pt2')\n"
    )
    run(tmp_path, "-c", program)
    build = ("-m", "edge_trt", "build", "clean.pt2", "-o", "clean.edge", "--fallback", "forbid")
    run(tmp_path, *build)
    assert (tmp_path / "clean.edge").is_dir()


def run(folder: Path, *command: str) -> None:
    """Python with that command line, in that folder; what is in its `installed` is importable."""
    paths = [folder / "installed", *map(Path, sys.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
