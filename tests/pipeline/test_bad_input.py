# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in people's hands, on the command line: one clear sentence, and no traceback.

What the parts say of each is tested with them; here it is seen that it gets through whole.
"""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edge_trt
from tests.cli.conftest import Command, Done
from tests.pipeline.models import FACTORY, IMAGE, batch, net

GOOD = np.ones((2, 3, 8, 8), np.float32)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compiled") / "m.edge"
    return edge_trt.compile(net(), (batch(3, 8, 8),)).save(path)


@pytest.fixture
def bundle(compiled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(compiled, tmp_path / "m.edge"))


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "model.py").write_text(
        FACTORY + "def training(): return Net()\n"
        "def nan():\n"
        "    model = net()\n"
        "    model.conv.weight.data[0] = float('nan')\n"
        "    return model\n"
    )
    return str(tmp_path / "model.py")


def assert_one_sentence(done: Done, *words: str) -> None:
    assert done.status == 1
    (line,) = done.err.splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("argument", "array", "words"),
    [
        ("imgae={}", GOOD, ["imgae", "'image'"]),
        ("image={}", GOOD[:, :, :4], ["image", "8"]),
        ("image={}", np.repeat(GOOD, 4, 0), ["image", "1", "6"]),
        ("image={}", GOOD[0], ["image"]),
        ("image={}", GOOD.astype(np.float64), ["image", "float64", "float32"]),
        ("image={}", GOOD.astype(np.int64), ["image", "int64", "float32"]),
    ],
    ids=["name", "size", "range", "rank", "float64", "int64"],
)
def test_inputs_that_do_not_fit(
    command: Command, bundle: Path, argument: str, array: np.ndarray, words: list[str]
) -> None:
    np.save(bundle.parent / "x.npy", array)
    done = command("run", bundle, "--input", argument.format(bundle.parent / "x.npy"))
    assert_one_sentence(done, *words)


def test_a_missing_input(command: Command, bundle: Path) -> None:
    assert_one_sentence(command("run", bundle), "image")


def test_layouts_are_all_fine(command: Command, bundle: Path) -> None:
    """Written in Fortran's order, and mapped read-only by numpy."""
    np.save(bundle.parent / "x.npy", np.asfortranarray(GOOD))
    done = command("run", bundle, "--input", f"image={bundle.parent / 'x.npy'}")
    assert done.status == 0, done.err


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
@pytest.mark.parametrize(
    "file", ["weights.safetensors", "engines/cpu/block0.onnx", "networks/block0.json"]
)
@pytest.mark.parametrize("action", ["verify", "run", "build"])
def test_damage(
    command: Command, bundle: Path, file: str, damage: Callable[[Path], None], action: str
) -> None:
    damage(bundle / file)
    before = {p: p.read_bytes() for p in bundle.rglob("*") if p.is_file()}
    assert_one_sentence(command(action, bundle), file)
    assert before == {p: p.read_bytes() for p in bundle.rglob("*") if p.is_file()}


def edited(bundle: Path, change: Callable[[dict], object]) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("action", ["verify", "run", "build", "inspect"])
def test_a_newer_schema(command: Command, bundle: Path, action: str) -> None:
    edited(bundle, lambda manifest: manifest.update(schema=99))
    assert_one_sentence(command(action, bundle), "schema 99", "pip install --upgrade")


@pytest.mark.parametrize("action", ["verify", "run", "build", "inspect"])
def test_a_path_that_leaves_the_bundle(command: Command, bundle: Path, action: str) -> None:
    (bundle.parent / "secret").write_text("mine")
    edited(bundle, lambda manifest: manifest["segments"][0].update(network="../secret"))
    assert_one_sentence(command(action, bundle), "../secret")


def test_a_full_disk(
    command: Command, bundle: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p: p.read_bytes() for p in bundle.rglob("*") if p.is_file()}
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 0))
    done = command("build", bundle, "--target", "cpu", "--quiet")
    assert_one_sentence(done, "the disk is full", "free some space")
    assert before == {p: p.read_bytes() for p in bundle.rglob("*") if p.is_file()}
    assert sorted(p.name for p in bundle.parent.iterdir()) == ["m.edge", "model.py"]


@pytest.mark.parametrize(
    ("factory", "flags", "words"),
    [
        ("net", ["--fallback-ops", "aten.sofmax"], ["aten.sofmax", "'aten.softmax'"]),
        ("net", ["--fallback-modules", "haed"], ["'haed'", "'head'"]),
        ("net", ["--fp32-layers", "head"], ["fp32_layers", "precision='fp16'"]),
        ("hybrid", ["--fallback", "forbid"], ["aten.fft_rfft.default"]),
        ("nett", [], ["nett", "'net'"]),
    ],
    ids=["operator", "module", "fp32 layers", "forbidden", "factory"],
)
def test_models_and_options(
    command: Command, model: str, factory: str, flags: list[str], words: list[str]
) -> None:
    shape = "x=3x8" if factory == "hybrid" else "image=2x3x8x8"
    done = command("build", f"{model}:{factory}", "--input", shape, "--dryrun", "--quiet", *flags)
    assert done.status == 1
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("factory", "words"),
    [("training", "in training mode"), ("nan", "NaN or infinity in the weights 'conv.weight'")],
)
def test_warnings_are_one_line(command: Command, model: str, factory: str, words: str) -> None:
    done = command("build", f"{model}:{factory}", "--input", "image=2x3x8x8", "--dryrun", "--quiet")
    assert done.status == 0
    (line,) = done.err.splitlines()
    assert line.startswith("warning: ")
    assert words in line


def test_a_model_that_cannot_be_captured(command: Command, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "import torch\n"
        "class Odd(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x + 1 if x.sum() > 0 else x\n"
        "def odd(): return Odd().eval()\n"
    )
    done = command("build", f"{tmp_path / 'odd.py'}:odd", "--input", "x=3x8", "--dryrun")
    assert done.status == 1
    assert "odd.py:4" in done.err
    assert "Traceback" not in done.err


def test_the_image_of_the_fixture_is_good(command: Command, bundle: Path) -> None:
    """So that the refusals above are for the reasons given."""
    np.save(bundle.parent / "x.npy", IMAGE.numpy())
    done = command("run", bundle, "--input", f"image={bundle.parent / 'x.npy'}")
    assert (done.status, done.err) == (0, "")
    assert command("verify", bundle).status == 0


class Factorised(nn.Module):
    """Takes positive-definite matrices, which random ones are not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.cholesky(x) + 1


def test_inputs_that_only_examples_can_be() -> None:
    with pytest.warns(edge_trt.EdgeTrtWarning, match="1 of 2 cases.*not positive-definite"):
        bundle = edge_trt.compile(Factorised().eval(), (torch.eye(3),))
    assert {name.partition("/")[0] for name in bundle.vectors} == {"0"}
    with pytest.raises(edge_trt.CaptureError, match="fails on its own example"):
        edge_trt.compile(Factorised().eval(), (torch.zeros(3, 3),))
