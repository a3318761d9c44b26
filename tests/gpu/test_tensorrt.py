# SPDX-License-Identifier: Apache-2.0
"""A TensorRT that is real, on a GPU that is real: what it refuses, and in which words.

No plan that a machine of data centres would run can be made here, so this shows the way to the
refusal and back: module, logger, recorder, deserialization from a memory map, and the remedy.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt.engines.tensorrt import build_plan, load_flavour
from edge_trt.network.graph import Network
from edge_trt.network.layers import Activation
from edge_trt.network.types import DType, TensorType
from edge_trt_runtime import EngineError
from edge_trt_runtime.tensorrt.library import Library, open_library
from tests.support.bundles import relu_draft
from tests.support.fake_tensorrt import MAGIC

pytestmark = pytest.mark.gpu


@pytest.fixture(params=["tensorrt_lean", "tensorrt_rtx", "tensorrt"])
def library(request: pytest.FixtureRequest) -> Library:
    try:
        return open_library(request.param)
    except EngineError as error:
        pytest.skip(str(error))


def test_a_plan_that_is_none_is_refused_with_a_reason(
    library: Library, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    family = "tensorrt_rtx" if library.flavour == "tensorrt_rtx" else "tensorrt"
    data = bytearray(4096)
    data[:4] = MAGIC[family]
    data[16:24] = len(data).to_bytes(8, "little")
    data[24:27] = bytes(library.release)
    draft = relu_draft().plan("main", bytes(data), flavour=library.flavour)
    path = draft.write(tmp_path / "m.edge")
    with pytest.raises(EngineError) as caught:
        edge_trt_runtime.load(path, device="cuda:0")
    print(caught.value)
    assert f"{library} refuses the plan" in str(caught.value)
    assert "gives no reason" not in str(caught.value)
    assert caught.value.hint
    with caplog.at_level(logging.WARNING), edge_trt_runtime.load(path) as session:
        assert session.run({"x": np.ones((1, 4), np.float32)})["output"].sum() == 4
    assert "it runs on the CPU" in caplog.text
    assert not edge_trt_runtime.engines()


def test_a_plan_that_tensorrt_rtx_built_runs_or_is_refused_for_the_gpu(tmp_path: Path) -> None:
    """It serves no GPU of data centres; on the others this is a whole run."""
    pytest.importorskip("tensorrt_rtx")
    flavour = load_flavour("tensorrt_rtx")
    network = Network("main")
    x = network.input("x", TensorType(DType.FLOAT32, (1, 4)))
    network.mark_output(network.add(Activation("RELU"), x), "main.0")
    plan = bytes(build_plan(network, flavour=flavour).plan)
    draft = relu_draft().plan(
        "main", plan, flavour="tensorrt_rtx", details={"version": flavour.version}
    )
    path = draft.write(tmp_path / "m.edge")
    with edge_trt_runtime.load(path) as session:
        array = np.random.default_rng(0).standard_normal((1, 4)).astype(np.float32)
        for _ in range(4):
            output = session.run({"x": array})["output"]
            np.testing.assert_array_equal(output, np.maximum(array, 0))
        on_gpu = bool(session.places)
    if not on_gpu:
        with pytest.raises(EngineError, match="this GPU is not one that the plan was built for"):
            edge_trt_runtime.load(path, device="cuda:0")
