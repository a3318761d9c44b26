# SPDX-License-Identifier: Apache-2.0
"""Plans that take and give sizes in the host's memory, and outputs as long as it happens."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime import EngineError, Range
from tests.runtime.tensorrt.machine import Machine
from tests.support.bundles import Draft, node, spec
from tests.support.fake_tensorrt import plan_bytes
from tests.support.foreign_arrays import WithInterface

VERSIONS = ["10.3.0", "10.13.3", "11.4.0", "lean-11.4.0", "rtx-1.7.1"]
ROWS = {"k": Range(0, 2, 4), "m": Range(0, 8, 16)}
VALUES = [{"n": [[0], [2], [2]]}, {"n": [[1], [3], [4]]}]


def draw(run: int) -> np.ndarray:
    return np.random.default_rng(run).standard_normal((4, 4)).astype(np.float32)


def planned(draft: Draft, segment: str, here: Machine, *about: Any, **more: Any) -> Draft:
    family = "tensorrt_rtx" if here.flavour == "tensorrt_rtx" else "tensorrt"
    data = plan_bytes(*about, release=here.release, flavour=family, **more)
    return draft.plan(segment, data, flavour=here.flavour)


def rows_draft() -> Draft:
    """``y = 2 * x[:n]``, two segments; the second one is long as `n` says."""
    draft = Draft(
        inputs=[spec("x", [4, 4]), spec("n", [1], "int64")],
        outputs=[spec("y", ["k", 4])],
        results={"y": "v1"},
        dims=ROWS,
        values=[spec("v0", ["k", 4]), spec("v1", ["k", 4])],
    )
    # No segment of the CPU is run: a session of these tests is one of the GPU.
    draft.network("a", ["x", "n"], ["v0"], [node("Slice", "x n n", "v0")])
    return draft.network("b", ["v0"], ["v1"], [node("Add", "v0 v0", "v1")])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("on_gpu", [False, True])
def test_sizes_that_are_inputs(
    machine: Callable[..., Machine], tmp_path: Path, version: str, on_gpu: bool
) -> None:
    here = machine(version)
    draft = rows_draft()
    planned(draft, "a", here, "first rows", {"x": [4, 4], "n": [1]}, {"v0": [-1, 4]},
            host=["n"], values=VALUES, profiles=[{}, {}])  # fmt: skip
    planned(draft, "b", here, "twice", {"v0": [-1, 4]}, {"v1": [-1, 4]},
            profiles=[{"v0": [[0, 4], [2, 4], [4, 4]]}])  # fmt: skip
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge"), device="cuda") as session:
        assert [place.lane for place in session.places] == ["gpu", "gpu"]
        for run, rows in enumerate([2, 2, 2, 4, 2, 4, 4, 0, 1, 2]):
            x, n = draw(run), np.array([rows])
            given: Any = WithInterface(here.device, n) if on_gpu else n
            np.testing.assert_array_equal(session.run({"x": x, "n": given})["y"], 2 * x[:rows])
        kinds = [(t.kind, t.name) for t in session.profile({"x": x, "n": n})]
        assert ("segment", "b") in kinds
        contexts = len(here.trt.contexts)
        for run in range(20):
            session.run({"x": x, "n": np.array([1 + run % 2])})
        assert len(here.trt.contexts) == contexts
        assert here.device.counts["launch"]  # what reads no sizes is captured
        message = r"input 'n' of segment 'a' is \[5\], and its plan takes \[0\] to \[2\]"
        with pytest.raises(EngineError, match=message):
            session.run({"x": x, "n": np.array([5])})
        np.testing.assert_array_equal(session.run({"x": x, "n": n})["y"], 2 * x[:2])
    gc.collect()
    assert {*here.trt.torn_down} == {0}


def test_sizes_from_one_plan_to_the_next(machine: Callable[..., Machine], tmp_path: Path) -> None:
    """The host waits for the first one, and queues the second one by what it said."""
    here = machine()
    draft = Draft(
        inputs=[spec("x", [4, 4])],
        outputs=[spec("y", ["k", 4]), spec("rows", [1], "int64")],
        results={"y": "v1", "rows": "n"},
        dims=ROWS,
        values=[spec("v0", [4, 4]), spec("n", [1], "int64"), spec("v1", ["k", 4])],
    )
    draft.network("a", ["x"], ["v0", "n"], [node("Relu", "x", "v0"), node("Shape", "x", "n")])
    draft.network("b", ["v0", "n"], ["v1"], [node("Slice", "v0 n n", "v1")])
    planned(draft, "a", here, "relu and rows", {"x": [4, 4]}, {"v0": [4, 4], "n": [1]}, host=["n"])
    planned(draft, "b", here, "first rows", {"v0": [4, 4], "n": [1]}, {"v1": [-1, 4]},
            host=["n"], values=[{"n": [[0], [2], [4]]}], profiles=[{}])  # fmt: skip
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge"), device="cuda") as session:
        for run in range(12):
            x = draw(run % 5)
            outputs = session.run({"x": x})
            rows = int((x[:, 0] > 0).sum())
            assert outputs["rows"] == [rows]
            np.testing.assert_array_equal(outputs["y"], np.maximum(x, 0)[:rows])


def positive_draft(*, read: bool = True) -> Draft:
    """``y = 2 * x[x > 0]``; or the rectified ``x`` alone, beside which nobody reads the other."""
    draft = Draft(
        inputs=[spec("x", [4, 4])],
        outputs=[spec("y", ["m"] if read else [4, 4])],
        results={"y": "v1" if read else "v2"},
        dims=ROWS,
        values=[spec("v0", ["m"]), spec("v1", ["m"]), spec("v2", [4, 4])],
    )
    nodes = [node("Relu", "x", "v0")]
    if not read:
        return draft.network("a", ["x"], ["v0", "v2"], [*nodes, node("Relu", "x", "v2")])
    draft.network("a", ["x"], ["v0"], nodes)
    return draft.network("b", ["v0"], ["v1"], [node("Add", "v0 v0", "v1")])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("bound", [0, 64, 4096])
@pytest.mark.parametrize("stay", [False, True])
def test_outputs_as_long_as_it_happens(
    machine: Callable[..., Machine], tmp_path: Path, version: str, bound: int, stay: bool
) -> None:
    """TensorRT may ask for more memory than an output can take, which is kept for the next run."""
    here = machine(version)
    draft = positive_draft()
    planned(draft, "a", here, "positive", {"x": [4, 4]}, {"v0": [-1]}, variable=["v0"], bound=bound)
    planned(draft, "b", here, "twice", {"v0": [-1]}, {"v1": [-1]},
            profiles=[{"v0": [[0], [8], [16]]}])  # fmt: skip
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge"), device="cuda") as session:
        for run in range(14):
            x = draw(run % 6)
            y = session.run({"x": x}, device_outputs=stay)["y"]
            np.testing.assert_array_equal(y.numpy() if stay else y, 2 * x[x > 0])
        del y
        session.run({"x": x})
        allocations = here.device.counts["allocate"]
        for _ in range(4):
            session.run({"x": x})
        assert here.device.counts["allocate"] == allocations
        assert here.device.counts["launch"]
        here.trt.fails = True
        with pytest.raises(EngineError, match="'a': TensorRT failed while queueing it"):
            session.run({"x": x})
        here.trt.fails = False
        np.testing.assert_array_equal(session.run({"x": x})["y"], 2 * x[x > 0])
    gc.collect()
    assert {*here.trt.torn_down} == {0}
    assert not here.device.allocations


def test_a_longer_output_than_the_bundle_says_and_one_that_nobody_reads(
    machine: Callable[..., Machine], tmp_path: Path
) -> None:
    here = machine()
    draft = positive_draft(read=False)
    planned(draft, "a", here, "positive and relu", {"x": [4, 4]}, {"v0": [-1], "v2": [4, 4]},
            variable=["v0"])  # fmt: skip
    with edge_trt_runtime.load(draft.write(tmp_path / "read.edge"), device="cuda") as session:
        for run in range(4):
            x = draw(run)
            np.testing.assert_array_equal(session.run({"x": x})["y"], np.maximum(x, 0))
    draft = positive_draft()
    draft.dims = {**ROWS, "m": Range(0, 1, 2)}
    planned(draft, "a", here, "positive", {"x": [4, 4]}, {"v0": [-1]}, variable=["v0"])
    planned(draft, "b", here, "twice", {"v0": [-1]}, {"v1": [-1]},
            profiles=[{"v0": [[0], [1], [2]]}])  # fmt: skip
    with edge_trt_runtime.load(draft.write(tmp_path / "long.edge"), device="cuda") as session:
        with pytest.raises(EngineError, match=r"gives 'v0' the shape \[16\] where the bundle says"):
            session.run({"x": np.ones((4, 4), np.float32)})

        def fail(kind: str) -> None:
            if kind == "allocate":
                raise EngineError("no memory")

        x = -np.ones((4, 4), np.float32)
        assert session.run({"x": x})["y"].size == 0
        here.device.fails = fail
        with pytest.raises(EngineError, match="no memory"):  # TensorRT swallows what we raise
            session.run({"x": np.zeros((4, 4), np.float32) + np.arange(4, dtype="f")})
        here.device.fails = lambda kind: None
        assert session.run({"x": x})["y"].size == 0
