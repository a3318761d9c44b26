# SPDX-License-Identifier: Apache-2.0
"""A placement that is built on the board: followed, planned again, or refused with the reason.

The board is made up. TensorRT's API is judged call by call; nothing of a DLA is shown.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edge_trt as compiler
from edge_trt_runtime.bundle import open_bundle
from tests.cli.conftest import Command
from tests.cli.made_up_jetson import TARGET, Jetson, compiled, configuration, make_jetson
from tests.runtime.tensorrt import conftest
from tests.support.fake_tensorrt import FakeTensorRt

machine = conftest.machine
pytestmark = pytest.mark.filterwarnings("ignore:.*samples? set the ranges.*")
Make = Callable[..., Jetson]


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("dla"))


@pytest.fixture
def bundle(placed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(placed, tmp_path / "m.edge"))


@pytest.fixture
def make(
    tmp_path: Path,
    machine: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Make:
    def board(bundle: Path, **more: Any) -> Jetson:
        return make_jetson(bundle, tmp_path, machine, monkeypatch, **more)

    return board


def test_the_plan_is_followed(make: Make, bundle: Path, edge_trt: Command) -> None:
    jetson = make(bundle, cores=2)
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 0, done.err
    flags, devices = configuration(jetson)
    assert {"INT8", "FP16", "GPU_FALLBACK"} <= set(flags)
    assert set(devices.values()) == {"DLA"}
    assert len(devices) >= 3
    kinds = {type(layer).__name__ for layer in jetson.trt.layers}
    assert not {"IQuantizeLayer", "IDequantizeLayer"} & kinds  # the weak regime has none
    (engine,) = open_bundle(bundle).manifest.engines
    assert engine.details["dla_core"] == 0
    assert engine.details["dla_layers"] == len(devices)
    ranges = jetson.trt.calls.count("ITensor.set_dynamic_range")
    assert ranges >= len(devices)


def test_what_this_tensorrt_refuses_runs_on_the_gpu(
    make: Make, bundle: Path, edge_trt: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    jetson = make(bundle, cores=2)
    kinds = "IActivationLayer"
    monkeypatch.setattr(
        FakeTensorRt, "_can_run_on_DLA",
        lambda self, config, layer: type(layer).__name__ != kinds, raising=False,
    )  # fmt: skip
    assert edge_trt("build", bundle, "--untested").status == 0
    _, devices = configuration(jetson)
    assert "GPU" in devices.values()
    (engine,) = open_bundle(bundle).manifest.engines
    refused = str(engine.details["dla_refused"]).split(", ")
    assert refused == [name for name, device in devices.items() if device == "GPU"]


def test_what_the_engine_says_is_compared_with_the_plan(
    make: Make, bundle: Path, edge_trt: Command
) -> None:
    jetson = make(bundle, cores=2)
    inside = "{ForeignNode[conv2d...relu]}"
    jetson.layers = {inside: "aten.conv2d", "conv2d_1 + relu_1": "aten.conv2d"}
    jetson.on_dla = [inside]
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 0, done.err
    (engine,) = open_bundle(bundle).manifest.engines
    assert engine.details["dla_loadables"] == 1
    fell_back = str(engine.details["dla_fell_back"]).split(", ")
    assert "conv2d_1" in fell_back
    assert "conv2d" not in fell_back
    assert "TensorRT moved to the GPU while it built conv2d_1" in done.out


@pytest.mark.parametrize(
    ("version", "cores", "remark"),
    [
        ("10.3.0", 0, "offers no DLA core"),
        ("10.13.3", 2, "has no DLA on Jetson"),
    ],
)
def test_a_board_without_dla_builds_for_its_gpu(
    make: Make, bundle: Path, edge_trt: Command, version: str, cores: int, remark: str
) -> None:
    jetson = make(bundle, version=version, cores=cores)
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 0, done.err
    assert f"Note: everything runs on the GPU: TensorRT {version}" in done.out
    assert remark in done.out
    assert configuration(jetson)[1] == {}
    (engine,) = open_bundle(bundle).manifest.engines
    assert "dla_core" not in engine.details


def test_fewer_cores_are_planned_again(make: Make, bundle: Path, edge_trt: Command) -> None:
    before = compiler.load(bundle).placement["targets"][TARGET]
    jetson = make(bundle, cores=1)
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 0, done.err
    after = compiler.load(bundle).placement["targets"][TARGET]
    assert before["networks"][0]["assignment"]["cores"] == "split"
    assert "layers are placed again: the plan was for TensorRT 10.3.0" in done.out
    assert "serves 1 DLA core with implicit INT8" in done.out
    assert after["networks"][0]["assignment"]["cores"] == "one"
    assert set(configuration(jetson)[1]) <= {"conv2d", "relu", "conv2d_1", "relu_1"}


def test_only_is_an_error_where_it_can_not_be(
    make: Make, tmp_path: Path, edge_trt: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = compiled(tmp_path, dla="only")
    before = (bundle / "manifest.json").read_bytes()
    make(bundle, cores=0)
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 1
    assert "dla='only' can't be here: TensorRT 10.3.0 offers no DLA core" in done.err
    assert "--dla auto" in done.err
    make(bundle, cores=2)
    monkeypatch.setattr(FakeTensorRt, "_can_run_on_DLA", lambda *_, **__: False, raising=False)
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 1
    assert "does not run on the DLA: TensorRT refuses it there" in done.err
    monkeypatch.undo()
    make(bundle, cores=2).layers = {"conv2d_1 + relu_1": "aten.conv2d"}
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 1
    assert "layer conv2d_1 = Convolution" in done.err
    assert "TensorRT moved it to the GPU while it built" in done.err
    assert (bundle / "manifest.json").read_bytes() == before


def test_float16(make: Make, tmp_path: Path, edge_trt: Command) -> None:
    """The weak regime makes float16 itself, from a network in float32."""
    bundle = compiled(tmp_path, precision="fp16", dla="only")
    jetson = make(bundle, cores=2)
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 0, done.err
    flags, devices = configuration(jetson)
    assert "FP16" in flags
    assert "INT8" not in flags
    assert len(devices) >= 3
    assert "ITensor.set_dynamic_range" not in jetson.trt.calls


def test_explicit_types_in_11(
    make: Make, bundle: Path, edge_trt: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 11.4.1 on the network keeps its quantization layers, and they go along."""
    jetson = make(bundle, version="11.4.0", cores=2)
    monkeypatch.setattr(jetson.trt, "__version__", "11.4.1")
    monkeypatch.setattr("edge_trt.placement.regimes.FIRST_STRONG_L4T", (36,))
    done = edge_trt("build", bundle, "--untested")
    assert done.status == 0, done.err
    assert "layers are placed again: the plan was for TensorRT 10.3.0" in done.out
    flags, devices = configuration(jetson)
    assert flags == ["GPU_FALLBACK"]
    on_dla = {name for name, device in devices.items() if device == "DLA"}
    kinds = {type(layer).__name__ for layer in jetson.trt.layers if layer.name in on_dla}
    assert {"IConvolutionLayer", "IQuantizeLayer", "IDequantizeLayer"} <= kinds
    (network,) = compiler.load(bundle).placement["targets"][TARGET]["networks"]
    engine = open_bundle(bundle).manifest.engines[0]
    assert engine.details["dla_layers"] == network["layers"]["dla:0"]  # without quantization


@pytest.mark.parametrize(
    ("version", "status", "text"),
    [
        ("11.5.0", 0, "Note: TensorRT 11.5.0 is newer than 11.4, the newest that"),
        ("12.0.0", 1, "TensorRT 12.0.0 is too new for this edge_trt, which builds"),
    ],
)
def test_a_newer_tensorrt_is_told(
    make: Make, bundle: Path, edge_trt: Command, monkeypatch: pytest.MonkeyPatch, version: str,
    status: int, text: str,
) -> None:  # fmt: skip
    jetson = make(bundle, version="11.4.0", cores=0)
    monkeypatch.setattr(jetson.trt, "__version__", version)
    done = edge_trt("build", bundle, "--untested")
    assert done.status == status, done.err
    assert (done.out + done.err).count(text) == 1
