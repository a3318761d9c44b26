# SPDX-License-Identifier: Apache-2.0
"""Times of a plan's layers, as a TensorRT that is made up reports them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

import edge_trt_runtime
from tests.runtime.tensorrt.machine import Machine
from tests.runtime.tensorrt.test_sessions import VERSIONS
from tests.support.bundles import relu_draft
from tests.support.fake_tensorrt import plan_bytes

LAYERS = {"conv2d": "", "__myl_Add_myl0_1": "aten.add.Tensor, module head, m.py:3"}


@pytest.mark.parametrize("version", VERSIONS)
def test_layers_of_a_plan(machine: Callable[..., Machine], tmp_path: Path, version: str) -> None:
    here = machine(version)
    data = plan_bytes(
        "relu",
        {"x": [1, 4]},
        {"main.0": [1, 4]},
        layers=LAYERS,
        release=here.release,
        flavour="tensorrt_rtx" if here.flavour == "tensorrt_rtx" else "tensorrt",
    )
    draft = relu_draft().plan("main", data, flavour=here.flavour)
    nodes = [{"name": "conv2d", "origin": {"module": "stem"}}]
    draft.files["networks/main.json"] = json.dumps({"nodes": nodes}).encode()
    (segment,) = draft.segments
    draft.segments = [msgspec.structs.replace(segment, network="networks/main.json")]
    x = {"x": np.float32([[1, -2, 3, -4]])}
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge"), device="cuda") as session:
        before = len(here.trt.contexts)
        for _ in range(2):
            layers = session.profile_layers(x, runs=3)
            np.testing.assert_array_equal(session.run(x)["output"], [[1, 0, 3, 0]])
        assert len(here.trt.contexts) == before + 1  # that of runs; those with a profiler are gone
    # The lean runtime has no inspector, so a name of TensorRT's own tells nothing there.
    inner = None if version.startswith("lean") else "head"
    assert [tuple(layer) for layer in layers] == [
        ("main", "conv2d", "stem", pytest.approx(1e-3)),
        ("main", "__myl_Add_myl0_1", inner, pytest.approx(2e-3)),
    ]
