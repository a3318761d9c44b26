# SPDX-License-Identifier: Apache-2.0
"""Engines by target: built here, or later, or elsewhere, and the bundle says which."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

import edge_trt
import edge_trt_runtime
from edge_trt.engines.plans import Plan
from edge_trt.options import CompileOptions
from edge_trt.pipeline import add_engines
from edge_trt_runtime.bundle import open_bundle
from tests.cli.conftest import Command, run_without
from tests.pipeline.models import FACTORY, IMAGE, X, assert_as_eager, batch, hybrid, net
from tests.support.fake_cuda import FakeDevice

BOARD = "agx-orin-64gb"


@pytest.mark.rtx
def test_cpu_and_rtx(tmp_path: Path) -> None:
    model = hybrid()
    bundle = edge_trt.compile(model, (batch(8),), target=("cpu", "rtx"))
    path = bundle.save(tmp_path / "m.edge")
    assert bundle.notes == []
    engines = open_bundle(path).manifest.engines
    assert [(e.segment, e.target, e.flavour) for e in engines] == [
        ("block0", "cpu", "onnx"),
        ("block1", "cpu", "onnx"),
        ("block0", "rtx", "tensorrt_rtx"),
        ("block1", "rtx", "tensorrt_rtx"),
    ]
    for engine in engines[2:]:
        assert engine.path == f"engines/{engine.fingerprint}/{engine.segment}.plan"
        assert engine.fingerprint.startswith("rtx-")
        assert (path / engine.path).stat().st_size > 1000
        assert engine.details["layers"] > 0
        assert engine.details["build_seconds"] > 0
    assert len({engine.fingerprint for engine in engines[2:]}) == 1
    assert bundle.report["timings"]["engines"] > 0
    assert_as_eager(model, bundle, X)


@pytest.mark.rtx
def test_rtx_alone_runs_on_no_cpu(tmp_path: Path) -> None:
    bundle = edge_trt.compile(net(), (IMAGE,), target="rtx")
    path = bundle.save(tmp_path / "m.edge")
    assert not (path / "engines/cpu").exists()
    with pytest.raises(edge_trt.EngineError, match="--target cpu"):
        edge_trt_runtime.load(path)
    with pytest.raises(edge_trt.EngineError, match="--target cpu"):
        bundle.module()


def test_a_board_gets_its_engines_later(tmp_path: Path) -> None:
    bundle = edge_trt.compile(net(), (IMAGE,), target=BOARD)
    assert bundle.plans == []
    (note,) = bundle.notes
    assert note.startswith(f"no engine for {BOARD}: ")
    assert "built on the board" in note
    path = bundle.save(tmp_path / "m.edge")
    manifest = open_bundle(path).manifest
    assert (manifest.targets, manifest.engines) == ([BOARD], [])
    assert json.loads((path / "report.json").read_text())["notes"] == [note]
    with pytest.raises(edge_trt.EngineError, match=r"no engine yet.*edge_trt build .* --target"):
        edge_trt_runtime.load(path)


def test_a_board_on_the_command_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(FACTORY)
    done = command(
        "build", f"{tmp_path / 'model.py'}:net", "--input", "image=2x3x8x8", "--target", BOARD,
        "-o", tmp_path / "m.edge",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert f"no engine for {BOARD}: " in done.out
    assert "Traceback" not in done.err
    run = command("verify", tmp_path / "m.edge")
    assert run.status == 1
    assert run.err.startswith("error: ")
    assert run.err.count("\n") == 1
    assert "no engine yet" in run.err


def test_a_plan_from_the_board_is_kept(tmp_path: Path) -> None:
    """A host that can't build for a board leaves alone what the board has built."""
    bundle = edge_trt.compile(net(), (IMAGE,), target=BOARD)
    bundle.plans = [
        Plan("block0", BOARD, "tensorrt", "abc", b"from the board", {"layers": 3}),
        Plan("block0", BOARD, "tensorrt", "abc", b"beside it", stream=2),
    ]
    bundle.missing = {}
    again = edge_trt.load(bundle.save(tmp_path / "m.edge"))
    add_engines(again, CompileOptions(target=("cpu", BOARD)))
    assert [(plan.target, plan.stream, bytes(plan.data)) for plan in again.plans] == [
        (BOARD, 1, b"from the board"), (BOARD, 2, b"beside it"),
    ]  # fmt: skip
    assert again.notes == []
    again.save(tmp_path / "m.edge")
    assert (tmp_path / "m.edge/engines/abc/block0.plan").read_bytes() == b"from the board"
    assert (tmp_path / "m.edge/engines/abc/block0.stream2.plan").read_bytes() == b"beside it"
    assert (tmp_path / "m.edge/engines/cpu/block0.onnx").exists()


@pytest.mark.rtx
def test_engines_are_added_where_torch_is_missing(tmp_path: Path) -> None:
    model = net()
    path = edge_trt.compile(model, (batch(3, 8, 8),), target=BOARD, precision="fp16").save(
        tmp_path / "m.edge"
    )
    done = run_without(["torch"], "build", str(path), "--target", "cpu", "--target", "rtx")
    assert done.returncode == 0, done.stderr
    manifest = open_bundle(path).manifest
    assert manifest.targets == [BOARD, "cpu", "rtx"]
    assert {e.target for e in manifest.engines} == {"cpu", "rtx"}
    assert manifest.precision == "fp16"
    assert_as_eager(model, path, IMAGE, rtol=1e-2)
    assert all(r.passed for r in edge_trt_runtime.run_self_test(path))
    verified = run_without(["torch"], "verify", str(path))
    assert verified.returncode == 0, verified.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.edge"]


@pytest.mark.rtx
def test_building_again_replaces_engine_and_note() -> None:
    bundle = edge_trt.compile(net(), (IMAGE,), target=("rtx", BOARD), optimization_level=0)
    (before,) = bundle.plans
    add_engines(bundle, CompileOptions(target="rtx", optimization_level=1))
    (after,) = bundle.plans
    assert after.fingerprint != before.fingerprint
    assert bundle.options.optimization_level == 1
    assert bundle.options.targets == ("rtx", BOARD)
    assert list(bundle.missing) == [BOARD]
    add_engines(bundle, CompileOptions(target="rtx"))
    assert bundle.plans[0].fingerprint == after.fingerprint  # what was not given is as before
    add_engines(bundle, CompileOptions(target="rtx", weight_streaming=True))
    (streamed,) = bundle.plans
    assert streamed.fingerprint != after.fingerprint
    add_engines(bundle, CompileOptions(target="rtx"))
    assert bundle.plans[0].fingerprint == streamed.fingerprint


def test_a_changed_bundle_is_not_the_saved_one(tmp_path: Path) -> None:
    bundle = edge_trt.compile(net(), (IMAGE,), target=BOARD)
    bundle.save(tmp_path / "m.edge")
    add_engines(bundle, CompileOptions(target="cpu"))
    assert bundle.module()(IMAGE).shape == (2, 4)
    assert open_bundle(tmp_path / "m.edge").manifest.engines == []


def test_a_missing_builder_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(edge_trt.BuildError, match="pip install tensorrt-rtx"):
        edge_trt.compile(net(), (IMAGE,), target="rtx")


def test_cuda_without_tensorrt_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.warns(edge_trt.EdgeTrtWarning, match="no engine for cuda"):
        bundle = edge_trt.compile(net(), (IMAGE,), target=("cpu", "cuda"))
    assert list(bundle.missing) == ["cuda"]
    assert bundle.notes[0].startswith("no engine for cuda: ")


def test_a_refusal_of_the_builder_names_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves the bundle as it was."""
    from edge_trt.engines import plans
    from edge_trt.engines.tensorrt import Flavour

    def refuses(*args: object, **keywords: object) -> None:
        raise edge_trt.BuildError("no", layer="conv", module="conv")

    bundle = edge_trt.compile(net(), (IMAGE,))
    before = dataclasses.replace(bundle)
    monkeypatch.setattr(plans, "build_plan", refuses)
    monkeypatch.setattr(plans, "load_flavour", lambda name: Flavour(name, None, "1.7.1"))
    with pytest.raises(edge_trt.BuildError) as caught:
        add_engines(bundle, CompileOptions(target="rtx"))
    assert caught.value.module == "conv"
    assert bundle == before


@pytest.mark.parametrize(
    ("gpu", "expected", "folder"),
    [(FakeDevice(), "8.7", "cuda-10.3.0-sm87"), (edge_trt_runtime.EngineError("no GPU"), None,
     "cuda-10.3.0-anygpu")],
)  # fmt: skip
def test_a_plan_says_for_which_gpu_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gpu: Any, expected: str | None, folder: str
) -> None:
    from edge_trt.engines import plans
    from edge_trt.engines.tensorrt import Flavour
    from edge_trt.engines.tensorrt.build import PlanResult

    built = PlanResult(memoryview(b"ftrt"), 3, 0.0, 0.0, "", ())
    monkeypatch.setattr(plans, "load_flavour", lambda name: Flavour(name, None, "10.3.0"))
    monkeypatch.setattr(plans, "build_plan", lambda *_, **__: built)
    monkeypatch.setattr("edge_trt.engines.board.open_device", MagicMock(side_effect=[gpu]))
    path = edge_trt.compile(net(), (IMAGE,), target=("cpu", "cuda")).save(tmp_path / "m.edge")
    engine = edge_trt_runtime.open_bundle(path).manifest.engines[-1]
    assert engine.details.get("compute_capability") == expected
    assert engine.fingerprint.startswith(folder)


def test_a_missing_builder_ends_the_command_before_the_model_is_compiled(tmp_path):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['tensorrt_rtx'] = None\n")
    slow = tmp_path / "slow.py"
    slow.write_text("import time\ndef create():\n    time.sleep(60)\n")
    environment = {**os.environ, "PYTHONPATH": str(hidden)}
    command = [sys.executable, "-m", "edge_trt", "build", f"{slow}:create", "--target", "rtx"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "m.edge")],
        env=environment, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "tensorrt_rtx is not installed here" in done.stderr
    assert "pip install tensorrt-rtx" in done.stderr
