# SPDX-License-Identifier: Apache-2.0
"""Pools on the GPU and the DLA cores of a machine that is made up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

import edge_trt_runtime
from edge_trt_runtime import EngineError, Lane, SelfTest
from tests.runtime.tensorrt.machine import Machine
from tests.runtime.tensorrt.test_sessions import draw, relu_plan
from tests.support.bundles import Draft, node, relu_draft, spec
from tests.support.fake_tensorrt import plan_bytes

ON_DLA = {"dla_core": 0, "dla_layers": 3, "runs_per_second": 600.0}
BESIDE = {"runs_per_second": 900.0}


def both() -> Draft:
    """Stream 1 on the DLA, stream 2 on the GPU."""
    draft = relu_draft().plan("main", relu_plan(), details=ON_DLA)
    return draft.plan("main", relu_plan(), stream=2, details=BESIDE)


def with_case(draft: Draft) -> Draft:
    recorded = draw(1, 4)
    cases = {"a/in/x": recorded, "a/out/output": np.maximum(recorded, 0)}
    draft.files["cases.safetensors"] = save(cases)
    draft.self_test = SelfTest("cases.safetensors", 1, 0.0, 0.0)
    return draft


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (2, [("dla:0", 1, 300.0), ("dla:1", 1, 300.0), ("gpu", 2, 900.0)]),
        (1, [("dla:0", 1, 600.0), ("gpu", 2, 900.0)]),
        (0, [("gpu", 2, 900.0)]),
    ],
)
def test_a_lane_for_each_core_and_the_gpu(
    machine: Callable[..., Machine], tmp_path: Path, cores: int, expected: list[Any]
) -> None:
    here = machine(cores=cores)
    path = with_case(both()).write(tmp_path / "m.edge")
    with edge_trt_runtime.load_pool(path, device="cuda") as pool:
        assert [(lane.name, lane.stream, lane.rate) for lane in pool.lanes] == expected
        tests = [
            (name, result.stream) for name, (result,) in pool.self_test().items() if result.passed
        ]
        assert tests == [(name, stream) for name, stream, _ in expected]
        for lane in pool.lanes:
            assert [place.lane for place in lane.places] == [lane.name]
        inputs = [{"x": draw(1, 4) + number} for number in range(20)]
        for given, outputs in zip(inputs, pool.map(inputs), strict=True):
            np.testing.assert_array_equal(outputs["output"], np.maximum(given["x"], 0))
        assert sum(lane.runs for lane in pool.lanes) == 20
        assert pool.memory is not None
        x = np.concatenate([given["x"] for given in inputs])
        np.testing.assert_array_equal(pool.run_batch({"x": x})["output"], np.maximum(x, 0))
    assert len(here.trt.deserialized) == len(expected)
    assert not edge_trt_runtime.engines()


def test_without_streams_or_dla_there_is_one_lane(
    machine: Callable[..., Machine], tmp_path: Path
) -> None:
    machine()
    path = relu_draft().plan("main", relu_plan()).write(tmp_path / "gpu.edge")
    with edge_trt_runtime.load_pool(path) as pool:
        assert [(lane.name, lane.stream, lane.rate) for lane in pool.lanes] == [("gpu", 1, 1.0)]
    path = relu_draft().write(tmp_path / "cpu.edge")
    with edge_trt_runtime.load_pool(path) as pool:
        assert [lane.name for lane in pool.lanes] == ["cpu"]
    with pytest.raises(EngineError, match=r"nothing of .* runs on"):
        edge_trt_runtime.load_pool(path, device="cuda")


def test_a_stream_for_another_machine_is_no_lane(
    machine: Callable[..., Machine], tmp_path: Path
) -> None:
    machine(cores=2)
    draft = relu_draft().plan("main", relu_plan())
    newer = relu_plan(release=(10, 7, 0))
    draft = with_case(draft.plan("main", newer, stream=2, target="orin-nx-16gb"))
    path = draft.write(tmp_path / "m.edge")
    with edge_trt_runtime.load_pool(path, device="cuda") as pool:
        assert [(lane.name, lane.stream) for lane in pool.lanes] == [("gpu", 1)]
    assert [result.stream for result in edge_trt_runtime.run_self_test(path)] == [1]


def test_a_stream_of_another_board_is_no_lane(
    machine: Callable[..., Machine], tmp_path: Path
) -> None:
    """Its engines could run here, beside some that they were not planned with."""
    machine(cores=2)
    draft = relu_draft().plan("main", relu_plan(), target="orin-nx-16gb")
    draft.plan("main", relu_plan(), target="agx-orin-64gb", details=ON_DLA)
    draft.plan("main", relu_plan(), target="agx-orin-64gb", stream=2, details=BESIDE)
    with edge_trt_runtime.load_pool(draft.write(tmp_path / "m.edge"), device="cuda") as pool:
        assert [(lane.name, lane.stream) for lane in pool.lanes] == [("gpu", 1)]


def test_streams_share_what_is_the_same(machine: Callable[..., Machine], tmp_path: Path) -> None:
    """A segment without a plan of stream 2 is loaded once for the GPU, whatever the stream."""
    here = machine(cores=2)
    draft = relu_draft()
    draft.values.append(spec("v", [1, 4]))
    draft.network("head", ["main.0"], ["v"], [node("Relu", "main.0", "v")])
    draft.results["output"] = "v"
    draft.plan("main", relu_plan(), details=ON_DLA).plan("main", relu_plan(), stream=2)
    draft.plan("head", plan_bytes("relu", {"main.0": [1, 4]}, {"v": [1, 4]}))
    with edge_trt_runtime.load_pool(draft.write(tmp_path / "m.edge"), device="cuda") as pool:
        lanes = [[place.lane for place in lane.places] for lane in pool.lanes]
        assert lanes == [["dla:0", "gpu"], ["dla:1", "gpu"], ["gpu", "gpu"]]
        assert [lane.name for lane in pool.lanes] == ["dla:0", "dla:1", "gpu"]
        assert [lane.rate for lane in pool.lanes] == [300.0, 300.0, 300.0]  # the mean of the others
        loaded = {(e.segment, e.lane): e.sessions for e in edge_trt_runtime.engines()}
        assert loaded == {
            ("main", "dla:0"): 1, ("main", "dla:1"): 1, ("main", "gpu"): 1, ("head", "gpu"): 3,
        }  # fmt: skip
    assert len(here.trt.deserialized) == 4


def test_lanes_that_are_asked_for(machine: Callable[..., Machine], tmp_path: Path) -> None:
    machine(cores=2)
    path = both().write(tmp_path / "m.edge")
    lanes = [Lane(1, dla_core=1, rate=7.0), Lane(2), Lane(device="cpu")]
    with edge_trt_runtime.load_pool(path, device="cuda", lanes=lanes) as pool:
        found = [(lane.name, lane.rate) for lane in pool.lanes]
        assert found == [("dla:1", 7.0), ("gpu", 7.0), ("cpu", 7.0)]
    with pytest.raises(EngineError, match="has no stream 3"):
        edge_trt_runtime.load_pool(path, device="cuda", lanes=[Lane(3)])


def test_a_lane_that_falls_back_to_the_cpu_is_left_out(
    machine: Callable[..., Machine], tmp_path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """With "auto", plans that TensorRT refuses run on the CPU, which would hold the others up."""
    here = machine(cores=2)
    original = here.trt._deserialize_cuda_engine  # pyright: ignore[reportPrivateUsage]

    def deserialize(runtime: Any, serialized_engine: Any) -> Any:
        here.trt.refuses = "no NvDLA here" if "DLA_core" in runtime.__dict__ else ""
        return original(runtime, serialized_engine)

    monkeypatch.setattr(here.trt, "_deserialize_cuda_engine", deserialize)
    path = both().write(tmp_path / "m.edge")
    with (
        caplog.at_level(logging.WARNING),
        edge_trt_runtime.load_pool(path, device="auto") as pool,
    ):
        assert [lane.name for lane in pool.lanes] == ["gpu"]
    assert "a lane of stream 1" in caplog.text
    assert "left out of the pool" in caplog.text
    with pytest.raises(EngineError, match="no NvDLA here"):
        edge_trt_runtime.load_pool(path, device="cuda")


def test_reloading_takes_the_lanes_of_the_new_bundle(
    machine: Callable[..., Machine], tmp_path: Path
) -> None:
    machine(cores=2)
    one = relu_draft().plan("main", relu_plan()).write(tmp_path / "one.edge")
    two = both().write(tmp_path / "two.edge")
    with edge_trt_runtime.load_pool(one, device="cuda") as pool:
        assert [lane.name for lane in pool.lanes] == ["gpu"]
        pool.reload(two)
        assert [lane.name for lane in pool.lanes] == ["dla:0", "dla:1", "gpu"]
        x = draw(1, 4)
        np.testing.assert_array_equal(pool.run({"x": x})["output"], np.maximum(x, 0))
        assert pool.bundle.root == str(two)
    assert not edge_trt_runtime.engines()
