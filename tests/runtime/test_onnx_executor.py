# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime behind a segment: shared weights, threads, silence, and failures by name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from safetensors.numpy import save

import edge_trt_runtime
from edge_trt.bundle import BundleWriter
from edge_trt_runtime import BundleError, EngineError
from tests.support.bundles import Draft, node, relu_draft, spec


def external(name: str, array: np.ndarray, offset: int) -> onnx.TensorProto:
    """An initializer whose data lies in the bundle's weights file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=array.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in [
        ("location", "weights.safetensors"),
        ("offset", str(offset)),
        ("length", str(array.nbytes)),
    ]:
        tensor.external_data.add(key=key, value=value)
    return tensor


def weighted(location: str | None = None) -> tuple[Draft, np.ndarray]:
    weight = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    file = save({"w": weight})
    tensor = external("w", weight, 8 + int.from_bytes(file[:8], "little"))
    if location:
        tensor.external_data[0].value = location
    draft = Draft(
        inputs=[spec("x", ["n", 4])],
        outputs=[spec("output", ["n", 3])],
        results={"output": "main.0"},
        values=[spec("main.0", ["n", 3])],
    )
    draft.network("main", ["x"], ["main.0"], [node("MatMul", "x w", "main.0")], [tensor])
    draft.files["weights.safetensors"] = file
    return draft, weight


def test_weights_come_from_the_bundles_weights_file(tmp_path: Path) -> None:
    draft, weight = weighted()
    x = np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge"), threads=2) as session:
        np.testing.assert_allclose(session.run({"x": x})["output"], x @ weight, rtol=1e-5)


@pytest.mark.parametrize(("threads", "set_to"), [(None, 0), (3, 3)])
def test_threads_and_spinning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int | None, set_to: int
) -> None:
    made: list[onnxruntime.InferenceSession] = []
    original = onnxruntime.InferenceSession

    def watch(*arguments: object, **options: object) -> onnxruntime.InferenceSession:
        made.append(original(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(onnxruntime, "InferenceSession", watch)
    edge_trt_runtime.load(relu_draft().write(tmp_path / "m.edge"), threads=threads).close()
    options = made[0].get_session_options()
    assert options.intra_op_num_threads == set_to
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


@pytest.mark.parametrize("location", ["../weights.safetensors", "/etc/passwd", "other.bin"])
def test_weights_outside_the_bundle_are_refused(tmp_path: Path, location: str) -> None:
    draft, _ = weighted(location)
    (tmp_path / "weights.safetensors").write_bytes(draft.files["weights.safetensors"])
    with pytest.raises(BundleError, match="is not listed in its manifest") as caught:
        edge_trt_runtime.load(draft.write(tmp_path / "m.edge"))
    assert caught.value.file == location


def test_truncated_weights_are_refused_even_unverified(tmp_path: Path) -> None:
    path = weighted()[0].write(tmp_path / "m.edge")
    os.truncate(path / "weights.safetensors", 60)
    with pytest.raises(BundleError, match=r"'weights.safetensors' in the bundle .* is truncated"):
        edge_trt_runtime.load(path, verify=False)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (b"not a model", "is not an ONNX model"),
        (b"", "could not be loaded"),
        (relu_draft().files["engines/cpu/main.onnx"][:-3], "is not an ONNX model .*truncated"),
    ],
)
def test_a_model_that_is_no_model(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], model: bytes, message: str
) -> None:
    draft = relu_draft()
    draft.files["engines/cpu/main.onnx"] = model
    with pytest.raises(EngineError, match=message) as caught:
        edge_trt_runtime.load(draft.write(tmp_path / "m.edge"))
    assert caught.value.segment == "main"
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_failing_run_names_the_segment_and_stays_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    draft = Draft(
        inputs=[spec("x", [4]), spec("i", [1], "int64")],
        outputs=[spec("output", [1])],
        results={"output": "main.0"},
        values=[spec("main.0", [1])],
    )
    draft.network("main", ["x", "i"], ["main.0"], [node("Gather", "x i", "main.0")])
    inputs = {"x": np.arange(4, dtype=np.float32), "i": np.array([99])}
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge")) as session:
        with pytest.raises(EngineError, match=r"segment 'main': ONNX .*out of data"):
            session.run(inputs)
        inputs["i"][:] = 2
        assert session.run(inputs)["output"] == 2
    assert capfd.readouterr() == ("", "")


def test_a_model_with_other_names_is_refused(tmp_path: Path) -> None:
    for nodes, message in [
        ([node("Relu", "y", "main.0")], r"takes \['y'\], and the manifest says \['x'\]"),
        ([node("Relu", "x", "z")], "does not give 'main.0'"),
    ]:
        draft, other = relu_draft(), Draft([spec("y", [1, 4])], [], {})
        other.values = [spec("x", [1, 4]), spec("main.0", [1, 4]), spec("z", [1, 4])]
        other.network("main", list(nodes[0].input), list(nodes[0].output), nodes)
        draft.files = other.files
        with pytest.raises(EngineError, match=message):
            edge_trt_runtime.load(draft.write(tmp_path / "m.edge"))


def test_a_fallback_program_may_be_onnx(tmp_path: Path) -> None:
    draft = relu_draft()
    model = draft.files.pop("engines/cpu/main.onnx")
    draft.segments, draft.engines = [], []
    draft.torch("main", ["x"], ["main.0"], b"")
    draft.files = {"fallback/main.onnx": model}
    segment = draft.segments[0]
    changed = {"kind": "onnx", "program": "fallback/main.onnx"}
    draft.segments = [msgspec.structs.replace(segment, **changed)]
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge")) as session:
        assert session.run({"x": -np.ones((1, 4), np.float32)})["output"].sum() == 0


def test_onnxruntime_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = relu_draft().write(tmp_path / "m.edge")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match=r"segment 'main' runs by ONNX Runtime.*runtime\[cpu\]"):
        edge_trt_runtime.load(path)


def test_zero_sized_arrays_scalars_and_other_types(tmp_path: Path) -> None:
    kinds = ["float16", "int8", "uint8", "int32", "int64", "bool"]
    draft = Draft(
        inputs=[spec(k, ["n"], k) for k in kinds] + [spec("scalar", [])],
        outputs=[spec(f"{k}_out", ["n"], k) for k in kinds] + [spec("scalar_out", [])],
        results={f"{k}_out": f"m.{k}" for k in [*kinds, "scalar"]},
        dims={"n": edge_trt_runtime.Range(0, 1, 5)},
        values=[spec(f"m.{k}", ["n"], k) for k in kinds] + [spec("m.scalar", [])],
    )
    names = [*kinds, "scalar"]
    nodes = [node("Identity", k, f"m.{k}") for k in names]
    draft.network("m", names, [f"m.{k}" for k in names], nodes)
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge")) as session:
        for n in (0, 1, 5):
            inputs = {k: np.ones(n, k) for k in kinds}
            inputs["scalar"] = np.array(2.5, np.float32)
            outputs = session.run(inputs)
            for k in names:
                assert outputs[f"{k}_out"].dtype == inputs[k].dtype
                np.testing.assert_array_equal(outputs[f"{k}_out"], inputs[k])


def test_the_old_bundle_keeps_running_when_it_is_replaced(tmp_path: Path) -> None:
    draft, weight = weighted()
    path = draft.write(tmp_path / "m.edge")
    x = np.ones((1, 4), np.float32)
    with edge_trt_runtime.load(path) as session:
        with BundleWriter(path) as writer:
            for relative in draft.files:
                data = draft.files[relative]
                zeros = data[:-48] + bytes(48)
                writer.add_bytes(relative, zeros if relative.startswith("weights") else data)
            writer.commit(draft.manifest())
        np.testing.assert_allclose(session.run({"x": x})["output"], x @ weight, rtol=1e-5)
    with edge_trt_runtime.load(path) as session:
        assert not session.run({"x": x})["output"].any()
