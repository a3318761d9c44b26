# SPDX-License-Identifier: Apache-2.0
"""``edge_trt build``: flags, refusals, progress, summary; and a real model from end to end."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_trt.cli.console import progress_bar
from edge_trt.cli.front import Request, started
from tests.cli import bundles
from tests.cli.conftest import Command, run_without

MODEL = """
import torch


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.head = torch.nn.Linear(4, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.conv(image)).mean((2, 3)))


def create() -> torch.nn.Module:
    torch.manual_seed(0)
    return Net().eval()
"""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Replace the process that needs PyTorch by a recorder; the rest of the command is real."""
    recorded: list[Request] = []

    class Recorder:
        def compile(
            self, request: Request, progress: Callable, warn: Callable, beside: object
        ) -> None:
            recorded.append(request)
            progress("capture", 0.5, "")
            progress("capture", 1.0, "2 nodes")
            progress("capture", 1.0, "")
            bundles.write(Path(request.output))

    monkeypatch.setattr("edge_trt.cli.front.started", lambda: nullcontext(Recorder()))
    return recorded


def test_flags_become_options(edge_trt: Command, calls, tmp_path: Path) -> None:
    done = edge_trt(
        "build", "model.py:create", "-o", tmp_path / "m.edge",
        "--input", "image=1..2..4x3x8x8", "--input", "ids=5:int64", "--image", "image=nhwc:uint8",
        "--target", "cpu", "--target", "agx-orin-64gb", "--precision", "fp16",
        "--fallback-ops", "aten.gelu,aten.erf", "--min-block-size", "3",
    )  # fmt: skip
    assert done.status == 0, done.err
    (request,) = calls
    assert request.model == "model.py:create"
    assert request.inputs == ["image=1..2..4x3x8x8", "ids=5:int64"]
    assert request.images == ["image=nhwc:uint8"]
    assert request.options["target"] == ["cpu", "agx-orin-64gb"]
    assert request.options["precision"] == "fp16"
    assert request.options["fallback_ops"] == ["aten.gelu", "aten.erf"]
    assert request.options["min_block_size"] == 3


def test_summary_and_progress(edge_trt: Command, calls, tmp_path: Path) -> None:
    done = edge_trt("build", "model.py:create", "-o", tmp_path / "m.edge")
    assert done.err.splitlines().count("capture: done (2 nodes)") == 1
    assert done.err.count("capture") == 1
    text = " ".join(done.out.split())
    assert "75.0% of 4 calls" in text
    assert "no such layer" in text
    assert "engines: cpu" in text


def test_a_stage_that_ends_without_a_note_keeps_its_last(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress_bar() as report:
        report("calibration", 0.2, "64 samples: 98% of the ranges moved less than 1%")
        report("calibration", 1.0, "")
        report("self-test", 1.0, "")
    first, second = capsys.readouterr().err.splitlines()
    assert first == "calibration: done (64 samples: 98% of the ranges moved less than 1%)"
    assert second == "self-test: done"


def test_quiet_prints_nothing(edge_trt: Command, calls, tmp_path: Path) -> None:
    done = edge_trt("build", "model.py:create", "--quiet", "-o", tmp_path / "m.edge")
    assert (done.status, done.out, done.err) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m.py:f"], "no place for the bundle"),
        (["m.py:f", "-o", "m.edge", "--target", "agx-orin-64g"], "agx-orin-64gb"),
        (["m.py:f", "-o", "m.edge", "--target", "nano-4gb"], "JetPack"),
        (["m.py:f", "-o", "m.edge", "--precision", "fp61"], "fp16"),
        (["m.py:f", "-o", "m.edge", "--min-block-size", "many"], "whole number"),
        (["m.py:f", "--dryrun", "--input", "1x3xx8"], "1x3xx8"),
        (["m.py:f", "-o", "m.edge", "--untested"], "--untested is about a bundle"),
        (["m.py:f", "-o", "m.edge", "--remote-command", "x"], "--remote-command is about --on"),
        (["m.py:f", "-o", "m.edge", "--on", ""], "--on names no board: --on user@board"),
        (["timm:resnet18", "-o", "m.edge", "--precision", "int8"], "needs sample data"),
        (["torchvision:resnet18", "-o", "m.edge", "--precision", "int8", "--dla", "auto",
          "--target", "agx-orin-64gb"], "needs sample data: add --calibration DATA"),
    ],
)  # fmt: skip
def test_refusals_are_one_line(edge_trt: Command, calls, arguments, message: str) -> None:
    done = edge_trt("build", *arguments)
    assert done.status == 1
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert message in done.err
    assert calls == []


@pytest.mark.parametrize("flags", [(), ("--on", "me@orin"), ("-o", "v.edge")], ids=" ".join)
def test_a_bundle_that_is_not_there(
    edge_trt: Command, calls, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    (tmp_path / "empty").mkdir()
    for name, problem in (("nothing.edge", "does not exist"), ("empty", "is not a bundle")):
        done = edge_trt("build", tmp_path / name, *flags)
        assert done.status == 1
        assert f"{name}' {problem}" in done.err
        assert done.err == edge_trt("bench", tmp_path / name).err
    assert calls == []


@pytest.mark.parametrize(
    "flags", [["--input", "image=1x3x8x8"], ["--precision", "fp16"], ["--dryrun"]], ids=" ".join
)
def test_flags_that_shape_the_model_are_refused_for_a_bundle(
    edge_trt: Command, bundle: Path, flags: list[str]
) -> None:
    before = (bundle / "manifest.json").read_bytes()
    done = edge_trt("build", bundle, *flags)
    assert done.status == 1
    assert "is a bundle already" in done.err
    assert flags[0] in done.err
    assert (bundle / "manifest.json").read_bytes() == before


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(MODEL)
    return f"{tmp_path / 'net.py'}:create"


def test_model_to_result(edge_trt: Command, model: str, tmp_path: Path) -> None:
    """build, inspect, verify, run: the outputs are those of eager PyTorch."""
    import torch

    path = tmp_path / "net.edge"
    done = edge_trt("build", model, "--input", "image=1..2..4x3x8x8", "-o", path)
    assert done.status == 0, done.err
    assert "Convolution" in edge_trt("inspect", path).out
    assert "Convolution" in edge_trt("inspect", path, "--network").out
    assert "passed" in edge_trt("verify", path).out
    x = np.random.default_rng(0).random((3, 3, 8, 8), np.float32)
    np.save(tmp_path / "x.npy", x)
    done = edge_trt("run", path, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npz")
    assert done.status == 0, done.err
    namespace: dict[str, Any] = {"__name__": "net"}
    exec(MODEL, namespace)
    with torch.no_grad():
        expected = namespace["create"]()(torch.from_numpy(x)).numpy()
    with np.load(tmp_path / "y.npz") as outputs:
        np.testing.assert_allclose(outputs["output"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("default")
def test_warning_is_one_line(edge_trt: Command, model: str, tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(MODEL.replace("Net().eval()", "Net()"))
    done = edge_trt("build", model, "--input", "image=1x3x8x8", "--dryrun")
    assert done.status == 0, done.err
    warnings = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert "eval" in warnings[0]


def test_dryrun_of_a_model(edge_trt: Command, model: str, tmp_path: Path) -> None:
    done = edge_trt("build", model, "--input", "image=1x3x8x8", "--dryrun", "-o", tmp_path / "m")
    assert done.status == 0, done.err
    assert "Coverage: 100.0%" in done.out
    assert "Nothing was built or written" in done.out
    # Python itself caches the user's file when it imports it.
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"net.py"}


@pytest.mark.rtx
def test_engines_are_added_to_a_bundle_without_torch(
    edge_trt: Command, model: str, tmp_path: Path
) -> None:
    path = tmp_path / "net.edge"
    assert edge_trt("build", model, "--input", "image=1x3x8x8", "-o", path).status == 0
    done = run_without(["torch"], "build", str(path), "--target", "cpu", "--target", "rtx")
    assert done.returncode == 0, done.stderr
    assert "tensorrt_rtx" in edge_trt("inspect", path).out
    assert "passed" in edge_trt("verify", path).out


def test_json_of_a_model(edge_trt: Command, model: str, tmp_path: Path) -> None:
    path = tmp_path / "net.edge"
    done = edge_trt("build", model, "--input", "image=1x3x8x8", "--quiet", "-o", path)
    assert done.status == 0, done.err
    data = json.loads(edge_trt("inspect", path, "--json").out)
    assert data["manifest"]["targets"] == ["cpu"]
    assert data["report"]


def test_files_of_the_current_folder_hide_no_module(
    edge_trt: Command, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise RuntimeError('not this one')")
    monkeypatch.chdir(tmp_path)
    done = edge_trt("build", str(Path(model).name), "--input", "image=1x3x8x8", "-o", "m.edge")
    assert done.status == 0, done.err


def test_the_compiling_process_is_interrupted_without_a_word(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with started() as front:
        maps = Path(f"/proc/{front.process.pid}/maps")
        while "libtorch" not in maps.read_text():  # it imports PyTorch, or waits for its request
            assert front.process.poll() is None
            time.sleep(0.02)
        front.process.send_signal(signal.SIGINT)
        assert front.process.wait(20) == -signal.SIGINT
    assert capfd.readouterr().err == ""
