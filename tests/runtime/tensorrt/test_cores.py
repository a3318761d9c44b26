# SPDX-License-Identifier: Apache-2.0
"""Plans on DLA cores of a machine that is made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime import EngineError
from tests.runtime.tensorrt.machine import Machine
from tests.runtime.tensorrt.test_sessions import draw, relu_plan
from tests.support.bundles import relu_draft


def test_two_sessions_share_a_plan_between_two_cores(
    machine: Callable[..., Machine], tmp_path: Path
) -> None:
    here = machine(cores=2)
    path = relu_draft().plan("main", relu_plan(), details={"dla_core": 0}).write(tmp_path / "m")
    x = draw(1, 4)
    with (
        edge_trt_runtime.load(path, device="cuda") as first,
        edge_trt_runtime.load(path, device="cuda", dla_core=1) as second,
    ):
        assert [s.places[0].lane for s in (first, second)] == ["dla:0", "dla:1"]
        for session in (first, second):
            np.testing.assert_array_equal(session.run({"x": x})["output"], np.maximum(x, 0))
    assert here.trt.deserialized == [0, 1]
    with pytest.raises(EngineError, match="dla_core is 2: give 0 or 1"):
        edge_trt_runtime.load(path, device="cuda", dla_core=2)
    gpu = relu_draft().plan("main", relu_plan()).write(tmp_path / "gpu")
    with edge_trt_runtime.load(gpu, device="cuda", dla_core=1) as session:
        assert session.places[0].lane == "gpu"  # no plan of it is for DLA


@pytest.mark.parametrize("by", ["segment", "plan"])
def test_a_core_is_chosen_before_its_plan_is_deserialized(
    machine: Callable[..., Machine], tmp_path: Path, by: str
) -> None:
    here = machine(cores=2)
    if by == "segment":
        draft = relu_draft().plan("main", relu_plan())
        draft.segments = [msgspec.structs.replace(draft.segments[0], device="dla:1")]
    else:
        draft = relu_draft().plan("main", relu_plan(), details={"dla_core": 1})
    path = draft.write(tmp_path / "m.edge")
    with edge_trt_runtime.load(path, device="cuda") as session:
        assert session.places[0].lane == "dla:1"
        for _ in range(4):
            x = draw(1, 4)
            np.testing.assert_array_equal(session.run({"x": x})["output"], np.maximum(x, 0))
    assert here.trt.deserialized == [1]
    assert "launch" not in here.device.counts  # DLA is never captured
    here.trt.cores = 1
    with pytest.raises(EngineError, match=r"for DLA core 1, and tensorrt 10\.3\.0 finds 1 here"):
        edge_trt_runtime.load(path, device="cuda")
