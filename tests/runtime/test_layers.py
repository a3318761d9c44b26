# SPDX-License-Identifier: Apache-2.0
"""Times of layers by module: real ones of ONNX Runtime, and those of a TensorRT that is made up."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

import edge_trt
import edge_trt_runtime
from edge_trt_runtime import EngineError
from edge_trt_runtime.__main__ import main
from edge_trt_runtime.layers import LayerTime, Modules, RawTime, format_layers, medians
from tests.support.bundles import Draft, node, spec

NODES = {
    "conv2d": "stem.conv", "relu": "stem.act", "linear": "head.0", "linear_1": "head.1",
    "add": "", "inner": "loop.body",
}  # fmt: skip


def network() -> bytes:
    """What the compiler writes of a network, as far as modules are concerned."""
    nodes = [{"name": n, "origin": {"module": m, "op": "aten"}} for n, m in NODES.items()]
    bodies = {"body": {"nodes": nodes[-1:]}}
    return json.dumps({"nodes": nodes[:-1], "bodies": bodies}).encode()


def bundle_with_modules(folder: Path) -> Path:
    draft = Draft(
        inputs=[spec("x", [1, 4])],
        outputs=[spec("y", [1, 4])],
        results={"y": "b"},
        values=[spec("a", [1, 4]), spec("b", [1, 4])],
    )
    steps = [node("Tan", "x", "t", name="conv2d"), node("Sin", "t", "a", name="linear_1")]
    draft.network("first", ["x"], ["a"], steps)
    draft.network("second", ["a"], ["b"], [node("Cos", "a", "b", name="add")])
    draft.files["networks/first.json"] = draft.files["networks/second.json"] = network()
    draft.segments = [
        msgspec.structs.replace(segment, network=f"networks/{segment.name}.json")
        for segment in draft.segments
    ]
    return draft.write(folder / "m.edge")


OF_LAYER: dict[tuple[str, str], str | None] = {
    ("conv2d", ""): "stem.conv",
    ("conv2d + relu", ""): "stem",
    ("PWN(PWN(linear), linear_1)", ""): "head",
    ("{ForeignNode[conv2d...linear_1]}", ""): "",
    ("Reformatting CopyNode for Input Tensor 0 to linear", ""): "head.0",
    ("linear_1/3", ""): "head.1",
    ("relu_nchwc", ""): "stem.act",
    ("linear_new_reshape", ""): "head.0",
    ("linear_7", ""): None,
    ("add", ""): "",
    ("inner", ""): "loop.body",
    ("SkipLayerNormalization", ""): None,
    ("", ""): None,
    ("__myl_MulAdd_myl0_3", "aten.mul.Tensor, module head.0, m.py:3"): "head.0",
    (
        "__myl_Fc_myl0_4",
        "aten.linear.default, module head.0, m.py:3\x1eaten.relu.default, module head.1, m.py:4",
    ): "head",
}


def test_the_module_of_a_layer(tmp_path: Path) -> None:
    bundle = edge_trt_runtime.open_bundle(bundle_with_modules(tmp_path))
    modules = Modules(bundle, bundle.manifest.segments[0])
    found = {key: modules.of(RawTime(key[0], 0.0, key[1])) for key in OF_LAYER}
    assert found == OF_LAYER


@pytest.mark.parametrize("watchdog", [None, 60.0])
def test_layers_of_onnx_runtime(tmp_path: Path, watchdog: float | None) -> None:
    path = bundle_with_modules(tmp_path)
    with edge_trt_runtime.load(path, device="cpu", threads=1, watchdog=watchdog) as session:
        layers = session.profile_layers({"x": np.ones((1, 4), np.float32)}, runs=3)
    assert [layer[:3] for layer in layers] == [
        ("first", "conv2d", "stem.conv"), ("first", "linear_1", "head.1"), ("second", "add", ""),
    ]  # fmt: skip
    assert all(0 < layer.seconds < 1 for layer in layers)
    with pytest.raises(EngineError, match="is closed"):
        session.profile_layers({})
    with pytest.raises(EngineError, match="runs is 0: give 1 or more"):
        session.profile_layers({}, runs=0)


def test_modules_of_a_compiled_model(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.LayerNorm(8), torch.nn.Softmax(-1))
    path = tmp_path / "m.edge"
    edge_trt.compile(model.eval(), (torch.randn(2, 8),), target="cpu").save(path)
    with edge_trt_runtime.load(path, device="cpu", threads=1) as session:
        (name,) = (value.name for value in session.signature.inputs)
        layers = session.profile_layers({name: np.ones((2, 8), np.float32)}, runs=2)
    assert {layer.module for layer in layers} == {"0", "1", "2"}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(bundle_with_modules(tmp_path)), "--profile"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    head = next(i for i, row in enumerate(rows) if row[:1] == ["module"])
    assert {(row[0], row[-1]) for row in rows[head + 1 : -1]} == {
        ("stem.conv", "conv2d"), ("head.1", "linear_1"), ("(the", "add"),
    }  # fmt: skip


def test_the_table_groups_by_module_the_slowest_first() -> None:
    layers = [
        LayerTime("s0", "a", "stem", 0.001), LayerTime("s0", "b", "stem", 0.002),
        LayerTime("s0", "c", None, 0.001), LayerTime("s1", "", None, 0.006),
    ]  # fmt: skip
    assert format_layers(layers).splitlines() == [
        "module                  ms   share  segment: layers",
        "(whole segment)      6.000   60.0%  s1",
        "stem                 3.000   30.0%  s0: a, b",
        "(not named)          1.000   10.0%  s0: c",
        "all                 10.000  100.0%",
    ]


def test_a_median_leaves_out_a_run_that_was_interrupted() -> None:
    runs = [{"a": 1.0, "b": 2.0}, {"a": 900.0, "b": 2.0}, {"a": 1.0}]
    assert medians(runs, 0.5) == [("a", 0.5), ("b", 1.0)]
