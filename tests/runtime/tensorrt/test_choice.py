# SPDX-License-Identifier: Apache-2.0
"""Which plans a machine takes: refusals come before TensorRT sees a byte."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime import EngineError
from edge_trt_runtime.tensorrt import choice
from edge_trt_runtime.tensorrt.header import read_header
from edge_trt_runtime.tensorrt.library import open_library
from tests.runtime.tensorrt.machine import Machine
from tests.support.bundles import relu_draft
from tests.support.fake_tensorrt import plan_bytes

PLAN = plan_bytes("relu", {"x": [1, 4]}, {"main.0": [1, 4]})
NEWER = plan_bytes("relu", {"x": [1, 4]}, {"main.0": [1, 4]}, release=(10, 7, 0))
RTX = plan_bytes(
    "relu", {"x": [1, 4]}, {"main.0": [1, 4]}, flavour="tensorrt_rtx", release=(1, 7, 1)
)


@pytest.mark.parametrize(
    ("data", "engine", "message"),
    [
        (PLAN, {"details": {"compute_capability": "8.9"}},
         r"built for compute capability 8\.9, and this is cuda:0 \(Fake, sm_87\): build it again"),
        (NEWER, {}, r"by version 10\.7\.0, and this machine has tensorrt 10\.3\.0: build it again"),
        (NEWER, {"details": {"version_compatible": True}},
         r"update tensorrt to 10\.7\.0, or build it again here"),
        (PLAN, {"details": {"version": "10.13.3"}},
         r"from version 10\.3\.0, and its manifest says 10\.13\.3: copy"),
        (b"onnx" * 30, {}, r"'engines/cuda/main\.plan' is no plan of TensorRT: build it again"),
        (b"ftrt", {}, "is no plan of TensorRT"),
        (RTX, {}, "was written by tensorrt_rtx, not by tensorrt"),
        (RTX + b"!", {"flavour": "tensorrt_rtx"}, r"says that it has \d+ bytes, and has \d+: copy"),
        (PLAN, {"flavour": "tensorrt_next"}, "it is for 'tensorrt_next', which this"),
        (PLAN, {"flavour": "tensorrt_dispatch"}, "tensorrt_dispatch is not installed: pip install"),
    ],
)  # fmt: skip
def test_a_plan_that_does_not_fit(
    machine: Callable[..., Machine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    data: bytes,
    engine: dict[str, Any],
    message: str,
) -> None:
    here = machine()
    rtx = ModuleType("tensorrt_rtx")
    rtx.__version__ = "1.7.1.116"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", rtx)
    path = relu_draft().plan("main", data, **engine).write(tmp_path / "m.edge")
    target = "its plan for cuda can't be used: "
    with pytest.raises(EngineError, match=message) as caught:
        edge_trt_runtime.load(path, device="cuda")
    assert target in str(caught.value)
    assert here.trt.deserialized == []
    with edge_trt_runtime.load(path) as session:  # "auto" takes the engine of the CPU
        assert session.run({"x": np.ones((1, 4), np.float32)})["output"].sum() == 4


def test_the_first_plan_that_fits_is_taken(machine: Callable[..., Machine], tmp_path: Path) -> None:
    here = machine()
    draft = relu_draft().plan("main", NEWER, target="orin-nano-8gb")
    path = draft.plan("main", PLAN, target="cuda").write(tmp_path / "m.edge")
    with edge_trt_runtime.load(path, device="cuda") as session:
        assert session.places[0].lane == "gpu"
    assert here.trt.deserialized == [None]


@pytest.mark.parametrize(
    ("model", "lane"), [(b"NX\0", "gpu"), (b"AGX\0", "dla:0"), (None, "dla:0")]
)
def test_what_was_built_on_this_board_comes_first(
    model: bytes | None, lane: str, machine: Callable[..., Machine], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    machine(cores=2)
    file = tmp_path / "model"
    if model is not None:
        file.write_bytes(model)
    monkeypatch.setattr(choice, "MODEL", str(file))
    draft = relu_draft().plan(
        "main", PLAN, target="agx-orin-64gb", details={"dla_core": 0, "built_on": "AGX"}
    )
    draft.plan("main", PLAN, target="orin-nx-16gb", details={"built_on": "NX"})
    path = draft.write(tmp_path / "m.edge")
    with edge_trt_runtime.load(path, device="cuda") as session:
        assert session.places[0].lane == lane


def test_stream_1_is_the_default(machine: Callable[..., Machine], tmp_path: Path) -> None:
    """An engine of stream 2 is left alone, wherever it stands in the manifest."""
    here = machine(cores=2)
    draft = relu_draft().plan("main", PLAN, stream=2).plan("main", PLAN, details={"dla_core": 1})
    path = draft.write(tmp_path / "both.edge")
    with edge_trt_runtime.load(path, device="cuda") as session:
        assert session.places[0].lane == "dla:1"
    assert here.trt.deserialized == [1]
    path = relu_draft().plan("main", PLAN, stream=2).write(tmp_path / "second.edge")
    with pytest.raises(EngineError, match="has no plan for cuda:0"):
        edge_trt_runtime.load(path, device="cuda")


def test_another_stream(machine: Callable[..., Machine], tmp_path: Path) -> None:
    """Its own plan where there is one that fits, else that of stream 1."""
    here = machine(cores=2)
    draft = relu_draft().plan("main", PLAN, details={"dla_core": 1}).plan("main", PLAN, stream=2)
    path = draft.write(tmp_path / "both.edge")
    with edge_trt_runtime.load(path, device="cuda", stream=2) as session:
        assert session.places[0].lane == "gpu"
    draft = relu_draft().plan("main", PLAN, details={"dla_core": 1})
    path = draft.plan("main", NEWER, stream=2, target="orin-nano-8gb").write(tmp_path / "one.edge")
    with edge_trt_runtime.load(path, device="cuda", stream=2) as session:
        assert session.places[0].lane == "dla:1"
    assert here.trt.deserialized == [None, 1]
    with edge_trt_runtime.load(path, device="cpu", stream=2) as session:
        assert session.run({"x": np.ones((1, 4), np.float32)})["output"].sum() == 4
    with pytest.raises(EngineError, match=r"has no stream 3, its streams are 1, 2: build it with"):
        edge_trt_runtime.load(path, device="cuda", stream=3)


def test_a_newer_tensorrt_takes_what_was_built_for_that(
    machine: Callable[..., Machine], tmp_path: Path
) -> None:
    machine("10.13.3")
    details = {"version_compatible": True, "version": "10.3.0.30"}
    path = relu_draft().plan("main", PLAN, details=details).write(tmp_path / "m.edge")
    with edge_trt_runtime.load(path, device="cuda") as session:
        assert session.run({"x": np.ones((1, 4), np.float32)})["output"].sum() == 4


def test_neither_plan_nor_cpu_engine(machine: Callable[..., Machine], tmp_path: Path) -> None:
    machine()
    draft = relu_draft().plan("main", NEWER)
    draft.engines = [engine for engine in draft.engines if engine.flavour != "onnx"]
    del draft.files["engines/cpu/main.onnx"]
    path = draft.write(tmp_path / "m.edge")
    for device, message in (
        ("cuda", "nothing of .* was built by version 10.7.0"),
        ("auto", "has engines for cuda only"),
    ):
        with pytest.raises(EngineError, match=message):
            edge_trt_runtime.load(path, device=device)


@pytest.mark.parametrize("error", [ImportError("libnvinfer.so.10: cannot open"), OSError("no")])
def test_a_library_that_is_broken(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(EngineError, match=r"tensorrt can't be loaded \(.*\): on a Jetson: sudo"):
        open_library("tensorrt")


@pytest.mark.rtx
def test_the_header_of_a_plan_that_tensorrt_rtx_built() -> None:
    from edge_trt.engines.tensorrt import build_plan, load_flavour
    from tests.support.layer_networks import CASES

    network = next(c for c in CASES if c.name == "conditional").network(dynamic=False)
    flavour = load_flavour("tensorrt_rtx")
    plan = build_plan(network, flavour=flavour).plan
    header = read_header(plan)
    assert header is not None
    assert header.flavour == "tensorrt_rtx"
    assert header.size == len(plan)
    assert ".".join(map(str, header.release)) == flavour.release
