# SPDX-License-Identifier: Apache-2.0
"""What a board does with a bundle, in an arm64 Python without PyTorch (`tests/aarch64/run.sh`)."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from edge_trt.cli import main
from tests.jetson.trees import TREES, plant

pytestmark = pytest.mark.aarch64


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    """A copy of the bundle that was compiled on another machine."""
    return str(shutil.copytree(os.environ["EDGE_TRT_AARCH64_BUNDLE"], tmp_path / "model.edge"))


@pytest.fixture(autouse=True)
def without_torch():
    assert importlib.util.find_spec("torch") is None, "this Python is to be one of a board"
    yield
    assert "torch" not in sys.modules


def test_runtime_is_imported_and_runs_a_bundle(bundle: str) -> None:
    import numpy as np

    import edge_trt_runtime

    with edge_trt_runtime.load(bundle) as session:
        for batch in (1, 3):
            image = np.random.default_rng(batch).normal(size=(batch, 3, 64, 64)).astype("float32")
            (result,) = session.run({session.signature.inputs[0].name: image}).values()
            assert result.shape == (batch, 10)
            np.testing.assert_allclose(result.sum(-1), 1, rtol=1e-5)


def test_results_are_those_of_pytorch(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", bundle]) == 0, capsys.readouterr()


def test_damage_is_found(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    weights = Path(bundle, "weights.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert main(["verify", bundle]) == 1
    assert "weights.safetensors" in capsys.readouterr().err


@pytest.mark.rtx
def test_plans_are_built(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", bundle, "--target", "rtx"]) == 0, capsys.readouterr()
    manifest = json.loads(Path(bundle, "manifest.json").read_bytes())
    plans = [engine["path"] for engine in manifest["engines"] if engine["target"] == "rtx"]
    assert plans
    assert all(Path(bundle, path).stat().st_size > 1000 for path in plans)
    assert main(["verify", bundle]) == 0, capsys.readouterr()


def test_bench_measures(bundle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "record.json"
    flags = ["--device", "cpu", "--seconds", "1", "--warm-up", "0.2", "--json", str(record)]
    assert main(["bench", bundle, *flags]) == 0, capsys.readouterr()
    assert record.stat().st_size > 100


@pytest.mark.parametrize("tree", [t for t in TREES if t.board], ids=lambda tree: tree.name)
def test_doctor_knows_the_board(tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant(tree, tmp_path)
    assert main(["doctor", "--json", "--root", str(tmp_path)]) in (0, 1)
    found = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert tree.board in json.dumps(found["board"])


@pytest.mark.parametrize("command", [["boards"], ["doctor"], ["monitor", "--once"]], ids=" ".join)
def test_a_command_answers(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 0, capsys.readouterr()
    assert len(capsys.readouterr().out.splitlines()) > 3
