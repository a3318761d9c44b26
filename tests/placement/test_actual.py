# SPDX-License-Identifier: Apache-2.0
"""Names of fused layers, as TensorRT's inspector writes them, against a plan."""

from __future__ import annotations

import pytest

from edge_trt.placement.actual import actual
from edge_trt_runtime.tensorrt.profiling import EngineLayer


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("conv1", {"conv1"}),
        ("conv1 + relu1", {"conv1", "relu1"}),
        ("PWN(relu1, add)", {"relu1", "add"}),
        ("conv1 || conv2", {"conv1", "conv2"}),
        ("Reformatting CopyNode for Input Tensor 0 to {ForeignNode[conv1...relu1]}", set()),
        ("{ForeignNode[conv1...relu1]}", {"conv1", "relu1"}),
    ],
)
def test_fused_names(name: str, parts: set[str]):
    wanted = ["conv1", "relu1", "conv2", "add"]
    found = actual(wanted, [EngineLayer(name, "CaskConvolution")])
    assert found is not None
    assert set(found.fell_back) == parts
    inside = actual(wanted, [EngineLayer(name, "DLA")])
    assert inside is not None
    assert (inside.loadables, inside.fell_back) == (1, ())


def test_nothing_is_described():
    assert actual(["conv1"], []) is None
