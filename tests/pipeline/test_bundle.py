# SPDX-License-Identifier: Apache-2.0
"""Bundles in memory and on disk: the same before and after, with a self-test that can fail."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import edge_trt
from edge_trt.bundle.tolerance import tolerance
from edge_trt.network.serialize import dump
from edge_trt.network.weights import WeightStore
from edge_trt_runtime import run_self_test, verify_bundle
from edge_trt_runtime.bundle import open_bundle
from edge_trt_runtime.manifest import encode_manifest
from edge_trt_runtime.vectors import read_tensors
from tests.pipeline.models import IMAGE, X, assert_as_eager, batch, hybrid, net


def texts(bundle: edge_trt.Bundle) -> list[str]:
    store = WeightStore()
    return [str(network) + dump(network, store) for network in bundle.networks]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_saved_bundle_is_read_back(precision: str, tmp_path: Path) -> None:
    bundle = edge_trt.compile(
        hybrid(), (batch(8),), precision=precision, fallback_ops="aten.relu", workspace=1 << 20,
        target=("cpu", "agx-orin-64gb"),
    )  # fmt: skip
    bundle.save(tmp_path / "m.edge")
    again = edge_trt.load(tmp_path / "m.edge")
    assert texts(again) == texts(bundle)
    for name in ("name", "signature", "options", "coverage", "results", "kept", "missing",
                 "remarks", "notes"):  # fmt: skip
        assert getattr(again, name) == getattr(bundle, name), name
    assert [p.tensors for p in again.parts] == [p.tensors for p in bundle.parts]
    assert again.report | {"timings": 0} == bundle.report | {"timings": 0}
    again.save(tmp_path / "again.edge")
    for path in sorted((tmp_path / "m.edge").rglob("*")):
        other = tmp_path / "again.edge" / path.relative_to(tmp_path / "m.edge")
        if path.is_file() and path.name != "report.json":
            assert path.read_bytes() == other.read_bytes(), path.name


def test_a_bundle_replaces_itself(tmp_path: Path) -> None:
    """Its weights are mapped from the files that are replaced."""
    model = net()
    edge_trt.compile(model, (IMAGE,)).save(tmp_path / "m.edge")
    bundle = edge_trt.load(tmp_path / "m.edge")
    bundle.save(tmp_path / "m.edge")
    assert_as_eager(model, bundle, IMAGE)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.edge"]


def test_damage_is_not_read_and_not_given_new_digests(tmp_path: Path) -> None:
    path = edge_trt.compile(net(), (IMAGE,)).save(tmp_path / "m.edge")
    weights = bytearray((path / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (path / "weights.safetensors").write_bytes(weights)
    with pytest.raises(edge_trt.BundleError, match=r"weights\.safetensors"):
        edge_trt.load(path)


def test_a_bundle_that_the_compiler_did_not_write_is_refused(tmp_path: Path) -> None:
    from tests.support.bundles import relu_draft

    with pytest.raises(edge_trt.BundleError, match=r"weights\.safetensors.*build it again"):
        edge_trt.load(relu_draft().write(tmp_path / "m.edge"))


def test_options_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    path = edge_trt.compile(net(), (IMAGE,)).save(tmp_path / "m.edge")
    manifest = open_bundle(path).manifest
    manifest.options["invented_later"] = True
    (path / "manifest.json").write_bytes(encode_manifest(manifest))
    assert edge_trt.load(path).options.targets == ("cpu",)


def test_the_report_is_in_the_bundle(tmp_path: Path) -> None:
    bundle = edge_trt.compile(hybrid(), (X,))
    path = bundle.save(tmp_path / "m.edge")
    report = json.loads((path / "report.json").read_text())
    assert report == bundle.report
    assert set(report["layers"]) == {"block0", "block1"}
    assert set(report["timings"]) == set(bundle.seconds)
    assert report["coverage"]["refusals"][0]["op"] == "aten.fft_rfft.default"


def test_weights_are_stored_once(tmp_path: Path) -> None:
    """By the networks and by the CPU engines together."""
    model = torch.nn.Linear(256, 256).eval()
    path = edge_trt.compile(model, (torch.randn(1, 256),), self_test=0).save(tmp_path / "m.edge")
    size = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    assert size < 1.2 * 256 * 256 * 4


class TestSelfTest:
    @pytest.mark.parametrize("count", [1, 3])
    def test_cases_hold_what_eager_gives(self, count: int, tmp_path: Path) -> None:
        model = net()
        path = edge_trt.compile(model, (IMAGE,), self_test=count).save(tmp_path / "m.edge")
        test = open_bundle(path).manifest.self_test
        assert test is not None
        assert test.cases == count
        tensors = read_tensors(str(path / test.path))
        images = [torch.from_numpy(tensors[f"{case}/in/image"].copy()) for case in range(count)]
        assert torch.equal(images[0], IMAGE)
        for case, image in enumerate(images):
            expected = model(image).detach().numpy()
            np.testing.assert_array_equal(tensors[f"{case}/out/output"], expected)
            assert image.shape == IMAGE.shape
        assert len({image.sum().item() for image in images}) == count
        assert len(run_self_test(path)) == count

    def test_none_on_request(self, tmp_path: Path) -> None:
        path = edge_trt.compile(net(), (IMAGE,), self_test=0).save(tmp_path / "m.edge")
        assert open_bundle(path).manifest.self_test is None
        assert run_self_test(path) == []

    @pytest.mark.parametrize("precision", ["fp32", "fp16"])
    def test_a_wrong_engine_fails(self, precision: str, tmp_path: Path) -> None:
        """Its digests are right: what it computes is not."""
        bundle = edge_trt.compile(net(), (IMAGE,), precision=precision)
        weights = {t for n in bundle.networks[0].nodes for t in n.inputs if t.data is not None}
        largest = max(weights, key=lambda t: t.data.size)  # type: ignore[union-attr]
        largest.data = largest.data * np.asarray(1.5, largest.data.dtype)  # type: ignore[operator]
        path = bundle.save(tmp_path / "m.edge")
        verify_bundle(path)
        assert not all(result.passed for result in run_self_test(path))

    def test_a_changed_engine_is_refused(self, tmp_path: Path) -> None:
        path = edge_trt.compile(net(), (IMAGE,)).save(tmp_path / "m.edge")
        engine = path / "engines/cpu/block0.onnx"
        engine.write_bytes(engine.read_bytes().replace(b"Softmax", b"Sigmoid"))
        with pytest.raises(edge_trt.BundleError, match=r"engines/cpu/block0\.onnx"):
            verify_bundle(path)


def test_the_tolerance_follows_each_outputs_largest_value() -> None:
    vectors = {
        "0/in/x": np.full(3, 1e6, np.float32),
        "0/out/a": np.array([1.0, -20.0, np.nan, np.inf], np.float32),
        "1/out/a": np.array([3.0], np.float32),
        "0/out/b/c": np.array([1000]),
        "0/out/d": np.array([0.5], np.float16),
    }
    rtol, atols = tolerance("fp32", vectors)
    assert rtol == 1e-3
    assert atols == {"a": pytest.approx(0.02), "b/c": 0.0, "d": pytest.approx(5e-4)}
    assert tolerance("fp16", {}) == (2e-2, {})
    assert tolerance("fp32", {}, ["int64", "float16"]) == (2e-2, {})


def test_a_small_output_beside_a_large_one_is_judged_by_itself(tmp_path: Path) -> None:
    class Scales(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.small = torch.nn.Parameter(torch.full((8,), 0.1))

        def forward(self, x):
            return x * 1e6, x * self.small

    bundle = edge_trt.compile(Scales().eval(), (X,))
    assert all(r.passed for r in run_self_test(bundle.save(tmp_path / "good.edge")))
    weights = [t for n in bundle.networks[0].nodes for t in n.inputs if t.data is not None]
    (small,) = {t for t in weights if t.data.size == 8}  # type: ignore[union-attr]
    small.data = small.data * np.float32(1.5)  # type: ignore[operator]
    results = run_self_test(bundle.save(tmp_path / "bad.edge"))
    assert {r.output: r.passed for r in results} == {"output_0": True, "output_1": False}


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=5))
def test_a_tolerance_is_a_number(values: list[float]) -> None:
    rtol, atols = tolerance("fp32", {"0/out/a": np.array(values, np.float32)})
    assert 0 < rtol < 1
    assert np.isfinite(atols["a"])
    assert atols["a"] >= 0
