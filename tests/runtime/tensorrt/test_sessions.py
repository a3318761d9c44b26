# SPDX-License-Identifier: Apache-2.0
"""Sessions that run TensorRT plans: real runtime code, a made-up TensorRT, a GPU that is none."""

from __future__ import annotations

import gc
import logging
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

import edge_trt_runtime
from edge_trt_runtime import EngineError, Session
from edge_trt_runtime.__main__ import main
from edge_trt_runtime.manifest import Range
from tests.runtime.tensorrt.machine import Machine
from tests.support.bundles import Draft, node, relu_draft, spec
from tests.support.fake_tensorrt import plan_bytes

VERSIONS = ["10.3.0", "10.13.3", "11.4.0", "lean-11.4.0", "rtx-1.7.1"]
OPEN = {"n": Range(1, 4, 8)}
TWO_PROFILES = [{"x": [[1, 4], [2, 4], [4, 4]]}, {"x": [[3, 4], [6, 4], [8, 4]]}]


def relu_plan(**more: object) -> bytes:
    return plan_bytes("relu", {"x": [1, 4]}, {"main.0": [1, 4]}, **more)  # type: ignore[arg-type]


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_plan_runs(
    machine: Callable[..., Machine], tmp_path: Path, version: str, graphs: bool
) -> None:
    here = machine(version)
    data = plan_bytes(
        "relu",
        {"x": [-1, 4]},
        {"main.0": [-1, 4]},
        profiles=TWO_PROFILES,
        release=here.release,
        flavour="tensorrt_rtx" if here.flavour == "tensorrt_rtx" else "tensorrt",
    )
    bundle = relu_draft(["n", 4], OPEN).plan("main", data, flavour=here.flavour)
    path = bundle.write(tmp_path / "m.edge")
    with edge_trt_runtime.load(path, device="cuda:0", graphs=graphs) as session:
        assert [(place.lane, place.reason) for place in session.places] == [("gpu", "")]
        for rows in (
            1,
            4,
            8,
            1,
            8,
            4,
            1,
            8,
        ):  # a first run, a captured one, and a walk; both profiles
            x = draw(rows, 4)
            np.testing.assert_array_equal(session.run({"x": x})["output"], np.maximum(x, 0))
        assert bool(here.device.counts.get("launch")) == graphs
        allocations = here.device.counts["allocate"]
        for _ in range(20):
            session.run({"x": draw(8, 4)})
        assert here.device.counts["allocate"] == allocations
    gc.collect()
    assert here.trt.torn_down == [0]  # its contexts were gone before it
    assert not here.device.allocations
    assert not edge_trt_runtime.engines()


def test_what_nobody_reads_is_written_where_it_harms_nobody(
    machine: Callable[..., Machine], tmp_path: Path
) -> None:
    machine()
    draft = Draft(
        inputs=[spec("x", [2, 4])],
        outputs=[spec("y", [2, 4])],
        results={"y": "v1"},
        values=[spec("v0", [2, 4]), spec("unread", [2]), spec("v1", [2, 4])],
    )
    nodes = [node("Relu", "x", "v0"), node("ReduceSum", "x", "unread", keepdims=0)]
    draft.network("a", ["x"], ["v0", "unread"], nodes)
    draft.network("b", ["v0"], ["v1"], [node("Add", "v0 v0", "v1")])
    shapes = {"v0": [2, 4], "unread": [2]}
    draft.plan("a", plan_bytes("relu and sum", {"x": [2, 4]}, shapes, memory=300))
    draft.plan("b", plan_bytes("twice", {"v0": [2, 4]}, {"v1": [2, 4]}, memory=5000))
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge"), device="cuda") as session:
        for _ in range(4):
            x = draw(2, 4)
            np.testing.assert_array_equal(session.run({"x": x})["y"], np.maximum(x, 0) * 2)


def test_segments_of_a_lane_share_their_scratch(
    machine: Callable[..., Machine], tmp_path: Path
) -> None:
    here = machine()
    draft = relu_draft()
    values = ["main.0", *(f"v{i}" for i in range(5))]
    draft.values += [spec(name, [1, 4]) for name in values[1:]]
    draft.plan("main", relu_plan(memory=1 << 20))
    for i, (name, result) in enumerate(pairwise(values)):
        draft.network(f"s{i}", [name], [result], [node("Relu", name, result)])
        data = plan_bytes("relu", {name: [1, 4]}, {result: [1, 4]}, memory=1 << 20)
        draft.plan(f"s{i}", data)
    draft.results["output"] = values[-1]
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge"), device="cuda") as session:
        taken = sum(array.nbytes for array in here.device.allocations.values())
        assert 1 << 20 < taken < (1 << 20) + 16384
        memory = session.memory
        assert memory is not None
        assert memory.device + memory.pinned == taken
        assert (memory.scratch, memory.frames) == (1 << 20, 2)
        assert memory.unshared > memory.device
        x = draw(1, 4)
        np.testing.assert_array_equal(session.run({"x": x})["output"], np.maximum(x, 0))


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("magicTag == kEXPECTED_MAGIC_TAG", "copy the bundle again"),
        ("plan.header.size == blobSize", "cut short"),
        ("Platform specific tag mismatch detected", "for another processor or system"),
        ("expecting library version 10.7.0.23 got 10.3.0.30", "another TensorRT version"),
        ("getEngineHostCodeAllowed() is false", "a runtime of its own"),
        ("EngineCapability::kDLA_STANDALONE, use cuDLA APIs instead", "cuDLA alone"),
        ("Target GPU SM 90 compute capability is not supported", "not one that the plan was built"),
        ("CUDA error 2 for 4194304-byte allocation: out of memory", "close other sessions"),
        ("something new", "build it again on this machine"),
    ],
)
def test_what_tensorrt_refuses(
    machine: Callable[..., Machine],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    text: str,
    remedy: str,
) -> None:
    here = machine()
    here.trt.refuses = text
    path = relu_draft().plan("main", relu_plan()).write(tmp_path / "m.edge")
    with pytest.raises(EngineError) as caught:
        edge_trt_runtime.load(path, device="cuda:0")
    assert "segment 'main': tensorrt 10.3.0 refuses the plan" in str(caught.value)
    assert text in str(caught.value)
    assert remedy in caught.value.hint
    assert caught.value.segment == "main"
    with caplog.at_level(logging.WARNING), edge_trt_runtime.load(path) as session:
        assert session.run({"x": draw(1, 4)})["output"].shape == (1, 4)
    assert "it runs on the CPU" in caplog.text
    assert not edge_trt_runtime.engines()
    assert not here.device.allocations


def test_a_plan_that_fails_while_it_runs(machine: Callable[..., Machine], tmp_path: Path) -> None:
    here = machine()
    path = relu_draft().plan("main", relu_plan()).write(tmp_path / "m.edge")
    with edge_trt_runtime.load(path, device="cuda") as session:
        session.run({"x": draw(1, 4)})
        here.trt.fails = True
        with pytest.raises(EngineError, match="'main': TensorRT failed while queueing it"):
            session.run({"x": draw(1, 4)})
        here.trt.fails = False
        x = draw(1, 4)
        np.testing.assert_array_equal(session.run({"x": x})["output"], np.maximum(x, 0))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (plan_bytes("relu", {"y": [1, 4]}, {"main.0": [1, 4]}), "has no 'x': it is of another"),
        (plan_bytes("relu", {"x": [1, 4]}, {"z": [1, 4]}), "has no 'main.0'"),
        (plan_bytes("relu", {"x": [1, 4], "y": [1]}, {"main.0": [1, 4]}), "wants 'y', which"),
        (relu_plan(host=["x"]), "takes 'x' as int64 in the host's memory, and the manif"),
        (
            plan_bytes("relu", {"x": [-1, 4]}, {"main.0": [-1, 4]}, profiles=[{"x": [[2, 4]] * 3}]),
            r"input 'x' of segment 'main' is \[1, 4\], and its plan takes \[2, 4\] to \[2, 4\]",
        ),
    ],
)
def test_a_plan_of_something_else(
    machine: Callable[..., Machine], tmp_path: Path, data: bytes, message: str
) -> None:
    machine()
    path = relu_draft().plan("main", data).write(tmp_path / "m.edge")
    with (
        pytest.raises(EngineError, match=message),
        edge_trt_runtime.load(path, device="cuda") as session,
    ):
        session.run({"x": draw(1, 4)})
    assert not edge_trt_runtime.engines()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("said", "resident"), [(None, 2000), ("auto", 1000), ("1kB", 1000), (0, 0), ("3GB", 2000)]
)
def test_weights_stay_as_far_as_the_budget_says(
    machine: Callable[..., Machine],
    tmp_path: Path,
    version: str,
    said: str | int | None,
    resident: int,
) -> None:
    here = machine(version)
    data = relu_plan(
        streamed=2000, release=here.release,
        flavour="tensorrt_rtx" if here.flavour == "tensorrt_rtx" else "tensorrt",
    )  # fmt: skip
    path = relu_draft().plan("main", data, flavour=here.flavour).write(tmp_path / "m.edge")
    x = draw(1, 4)
    with edge_trt_runtime.load(path, device="cuda", weight_streaming=said) as session:
        assert engine_of(session).weight_streaming_budget_v2 == resident
        for _ in range(4):
            np.testing.assert_array_equal(session.run({"x": x})["output"], np.maximum(x, 0))
    # What is streamed is not captured, and TensorRT streams nothing by default.
    assert bool(here.device.counts.get("launch")) == (resident == 2000)


def engine_of(session: Session) -> Any:
    """TensorRT's engine of the only segment."""
    loaded: Any = session._loaded  # pyright: ignore[reportPrivateUsage]
    return loaded.runner._frames._prepared.device_executors[0].plan._engine


def test_sessions_that_stream_otherwise_share_no_plan(
    machine: Callable[..., Machine], tmp_path: Path
) -> None:
    here = machine()
    path = relu_draft().plan("main", relu_plan(streamed=2000)).write(tmp_path / "m.edge")
    with (
        edge_trt_runtime.load(path, device="cuda"),
        edge_trt_runtime.load(path, device="cuda", weight_streaming=100),
        edge_trt_runtime.load(path, device="cuda", weight_streaming="100") as last,
    ):
        assert [engine.sessions for engine in edge_trt_runtime.engines()] == [1, 2]
        assert engine_of(last).weight_streaming_budget_v2 == 100
    assert len(here.trt.deserialized) == 2


def test_a_persistent_cache_is_given_to_every_context(
    machine: Callable[..., Machine], tmp_path: Path
) -> None:
    here = machine()
    here.trt.cache = 1 << 20
    data = plan_bytes(
        "relu", {"x": [-1, 4]}, {"main.0": [-1, 4]}, profiles=[{"x": [[1, 4], [2, 4], [8, 4]]}]
    )
    path = relu_draft(["n", 4], OPEN).plan("main", data).write(tmp_path / "m.edge")
    with edge_trt_runtime.load(path, device="cuda", persistent_cache="256KiB") as session:
        for rows in (1, 8):
            session.run({"x": draw(rows, 4)})
        assert [c.persistent_cache_limit for c in here.trt.contexts] == [256 << 10] * 2


@pytest.mark.parametrize("device", ["cuda", "auto"])
@pytest.mark.parametrize(
    ("options", "lacking", "message"),
    [
        (
            {"weight_streaming": "auto"},
            "",
            "'main': its plan was not .*: build it with --weight-str",
        ),
        ({"weight_streaming": 7}, "weight_streaming_budget_v2", r"10\.3\.0 can't stream weights"),
        (
            {"persistent_cache": "2MB"},
            "",
            r"of 2\.0 MB is refused \(persistentCacheLimit is larger",
        ),
        ({"persistent_cache": 1}, "persistent_cache_limit", "can't keep activations in the L2"),
        ({"memory_budget": "lots"}, "", "memory_budget is 'lots', which is no size: give one"),
        ({"weight_streaming": -1}, "", "weight_streaming is '-1', which is no size"),
        ({"persistent_cache": True}, "", "persistent_cache is 'True', which is no size"),
        ({"memory_budget": 10}, "", r"segment 'main' takes .* raise memory_budget"),
    ],
)
def test_an_option_that_a_plan_or_a_version_lacks(
    machine: Callable[..., Machine],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    device: str,
    options: dict[str, Any],
    lacking: str,
    message: str,
) -> None:
    """An option is never passed over in silence."""
    here = machine()
    for kind in ("ICudaEngine", "IExecutionContext"):
        here.trt.classes[kind].properties -= {lacking}
    path = relu_draft().plan("main", relu_plan()).write(tmp_path / "m.edge")
    if device == "auto" and options.get("memory_budget") == 10:  # then it runs on the CPU
        edge_trt_runtime.load(path, **options).close()
        assert re.search(message, caplog.text)
    else:
        with pytest.raises(EngineError, match=message):
            edge_trt_runtime.load(path, device=device, **options)
    assert not edge_trt_runtime.engines()
    assert not here.device.allocations


def test_the_self_test_runs_the_plan(
    machine: Callable[..., Machine], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that a board proves its own plans."""
    machine()
    draft, x = relu_draft(), draw(1, 4)
    draft.files["s.safetensors"] = save({"0/in/x": x, "0/out/output": np.maximum(x, 0)})
    draft.self_test = edge_trt_runtime.SelfTest("s.safetensors", 1, rtol=1e-4, atol=1e-5)
    right = draft.plan("main", relu_plan()).write(tmp_path / "right.edge")
    wrong = plan_bytes("twice", {"x": [1, 4]}, {"main.0": [1, 4]})
    draft.files["engines/cuda/main.plan"] = wrong
    wrong_path = draft.write(tmp_path / "wrong.edge")
    assert main([str(right), "--verify"]) == 0
    out = capsys.readouterr().out
    assert "main runs on gpu\n" in out
    assert "memory of a run in flight, of 2: 1.5 kB on the GPU (1.5 kB if nothing were" in out
    assert main([str(wrong_path), "--verify"]) == 1
    assert main([str(wrong_path), "--verify", "--device", "cpu"]) == 0


def test_a_reload_gives_the_old_plan_back(machine: Callable[..., Machine], tmp_path: Path) -> None:
    here = machine()
    old = relu_draft().plan("main", relu_plan()).write(tmp_path / "old.edge")
    twice = plan_bytes("twice", {"x": [1, 4]}, {"main.0": [1, 4]})
    new = relu_draft().plan("main", twice).write(tmp_path / "new.edge")
    x = draw(1, 4)
    with edge_trt_runtime.load(old, device="cuda") as session:
        for path, expected in ((new, x * 2), (old, np.maximum(x, 0)), (new, x * 2)):
            session.reload(path)
            (engine,) = edge_trt_runtime.engines()
            assert engine.sessions == 1
            for _ in range(3):
                np.testing.assert_array_equal(session.run({"x": x})["output"], expected)
        here.trt.refuses = "magicTag"
        with pytest.raises(EngineError, match="refuses the plan"):
            session.reload(old)
        np.testing.assert_array_equal(session.run({"x": x})["output"], x * 2)
    assert not here.device.allocations
    assert not edge_trt_runtime.engines()


def test_a_profile_tells_copies_and_segments(
    machine: Callable[..., Machine], tmp_path: Path
) -> None:
    here = machine()
    path = relu_draft().plan("main", relu_plan()).write(tmp_path / "m.edge")
    with edge_trt_runtime.load(path, device="cuda") as session:
        x = draw(1, 4)
        for _ in range(4):
            timings = session.profile({"x": x})
            assert [(t.kind, t.lane, t.name) for t in timings] == [
                ("stage", "host", "x"),
                ("upload", "gpu", "x"),
                ("segment", "gpu", "main"),
                ("download", "gpu", "main.0"),
            ]
            # By events on the stream: the time of the host around them does not count.
            assert [t.seconds for t in timings[1:]] == pytest.approx([1e-3] * 3)
            np.testing.assert_array_equal(session.run({"x": x})["output"], np.maximum(x, 0))
        here.trt.fails = True
        with pytest.raises(EngineError, match="failed while queueing"):
            session.profile({"x": x})
        here.trt.fails = False
        np.testing.assert_array_equal(session.run({"x": x})["output"], np.maximum(x, 0))
