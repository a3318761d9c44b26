# SPDX-License-Identifier: Apache-2.0
"""int8 from `compile` to the session: ranges, accounts, exceptions, hybrids, and bad data."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import edge_trt
from edge_trt.network.layers import Quantize
from edge_trt.network.types import DType
from edge_trt_calibration import CalibrationError, Ranges, merge
from edge_trt_calibration.ranges import Source
from edge_trt_calibration.tensorrt_cache import to_cache
from edge_trt_runtime import run_self_test
from tests.pipeline.models import Hybrid, batch, net

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((128, 3, 8, 8)).astype(np.float32)
DYNAMIC = (batch(3, 8, 8),)

pytestmark = pytest.mark.filterwarnings("ignore:.*samples? set the ranges.*")


def _compile(model: nn.Module | None = None, inputs: Any = DYNAMIC, **options: Any) -> Any:
    given = {"precision": "int8", "calibration": IMAGES} | options
    return edge_trt.compile(model or net(), inputs, **given)


def test_it_answers_nearly_as_the_model_and_accounts_for_it(tmp_path: Path) -> None:
    model = net()
    bundle = _compile(model)
    with torch.inference_mode():
        wanted = model(torch.from_numpy(IMAGES[:6])).numpy()
    found = bundle.module()(torch.from_numpy(IMAGES[:6])).numpy()
    assert 0 < np.abs(found - wanted).max() < 0.02
    assert {layer["module"] for layer in bundle.quantization["noise"]} == {"conv", "head"}
    assert all(layer["own_db"] > 25 for layer in bundle.quantization["noise"])
    assert bundle.quantization["samples"] == 128
    assert set(bundle.quantization["latency_ms"]) == {"fp32", "int8"}
    sizes = bundle.quantization["weight_bytes"]
    assert sizes["int8"] < sizes["fp32"]
    bundle.save(tmp_path / "m.edge")
    again = edge_trt.load(tmp_path / "m.edge")
    assert again.quantization == bundle.quantization
    assert again.ranges.tensors == bundle.ranges.tensors
    results = run_self_test(bundle.path)
    assert len(results) == 2
    assert all(result.passed for result in results)


def test_ranges_of_another_run_give_the_same_networks() -> None:
    model = net()
    ranges = edge_trt.calibrate(model, DYNAMIC, calibration=IMAGES)
    assert isinstance(ranges, Ranges)
    direct = _compile(model)
    with pytest.warns(edge_trt.EdgeTrtWarning, match="there is no self-test"):
        indirect = _compile(model, calibration=None, ranges=ranges)
    assert str(direct.networks[0]) == str(indirect.networks[0])
    assert indirect.vectors == {}


def test_parts_of_the_data_merge_to_all_of_it() -> None:
    model = net()
    parts = [edge_trt.calibrate(model, DYNAMIC, calibration=p) for p in (IMAGES[:50], IMAGES[50:])]
    assert merge(parts) == edge_trt.calibrate(model, DYNAMIC, calibration=IMAGES)


def test_a_cache_of_tensorrt_sets_the_ranges(tmp_path: Path) -> None:
    model = net()
    ranges = edge_trt.calibrate(model, DYNAMIC, calibration=IMAGES)
    (tmp_path / "calib.cache").write_text(str(to_cache(ranges, "10.3.0")))
    direct = _compile(model)
    cached = _compile(model, ranges=tmp_path / "calib.cache")
    for name, chosen in direct.ranges.tensors.items():
        assert cached.ranges.tensors[name].amax == pytest.approx(chosen.amax, rel=1e-6)
    assert len(cached.vectors) == len(direct.vectors)  # the data is there for it


def test_a_bundle_is_calibrated_without_the_model(tmp_path: Path) -> None:
    model = net()
    bundle = edge_trt.compile(model, DYNAMIC)
    bundle.save(tmp_path / "m.edge")
    found = edge_trt.calibrate(edge_trt.load(tmp_path / "m.edge"), calibration=IMAGES)
    assert found == edge_trt.calibrate(model, DYNAMIC, calibration=IMAGES)


@pytest.mark.filterwarnings("ignore:the model says no normalization")
def test_a_folder_of_images_is_data(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for i, place in enumerate((folder, folder, folder / "more")):
        pixels = RNG.integers(0, 256, (8 + i, 9, 3), np.uint8)
        Image.fromarray(pixels).save(place / f"{i}.png")
    found = edge_trt.calibrate(net(), DYNAMIC, calibration=folder)
    assert found.source.samples == 3
    assert 0.5 < found.tensors["image"].amax <= 1
    with pytest.raises(edge_trt.InputError, match=r"no image: give a \.npy file"):
        edge_trt.calibrate(Hybrid().eval(), (batch(8),), calibration=folder)


def test_a_metric_is_told_of_all_three() -> None:
    seen: list[tuple[int, ...]] = []

    def share(run: Any) -> float:
        outputs = run(IMAGES)
        seen.append(outputs.shape)
        return float(outputs[:, 0].mean())

    metric = _compile(metric=share).quantization["metric"]
    assert metric["name"] == "share"
    assert metric["eager"] == pytest.approx(metric["fp32"], abs=1e-5)
    assert metric["int8"] == pytest.approx(metric["fp32"], abs=1e-2)
    assert seen == [(128, 4)] * 3


def test_data_may_bring_its_metric() -> None:
    class Data:
        def __iter__(self) -> Iterator[np.ndarray]:
            yield from np.split(IMAGES, 8)

        def evaluate(self, run: Any) -> float:
            return float(run(IMAGES).max())

    assert set(_compile(calibration=Data()).quantization["metric"]) == {
        "name", "eager", "fp32", "int8",
    }  # fmt: skip


class Counted(nn.Module):
    """No output of floats: the place of the largest of four numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, image):
        return self.net(image).argmax(-1)


SPIKED = IMAGES.copy()
"""Images with one large value in a channel that the network below reads hardly at all."""
SPIKED[5, 0, 0, 0] = 300


def _deaf() -> nn.Module:
    model = net()
    with torch.no_grad():
        model.conv.weight[:, 0] *= 1e-3
    return model


def test_the_best_method_is_picked_by_the_noise_at_the_outputs() -> None:
    model = _deaf()
    bundles = {
        method: _compile(model, calibration=SPIKED, calibration_method=method)
        for method in ("best", "mse", "max", "percentile", "entropy")
    }
    ranges = bundles["best"].ranges
    assert ranges.method == "best"
    # The squared error keeps the spike; the outputs hear nothing of it.
    assert ranges.tensors["image"].method == "percentile"
    assert ranges.tensors["image"].amax < 10 < bundles["mse"].ranges.tensors["image"].amax
    found = {method: bundle.quantization["outputs_db"] for method, bundle in bundles.items()}
    decibels = {method: outputs["output"] for method, outputs in found.items()}
    assert decibels["best"] == max(decibels.values())
    assert decibels["best"] > decibels["mse"] + 3


def test_the_best_method_needs_the_data() -> None:
    ranges = edge_trt.calibrate(net(), DYNAMIC, calibration=IMAGES, calibration_method="best")
    with pytest.raises(CalibrationError, match="method best runs the quantized model, and there"):
        merge([ranges, dataclasses.replace(ranges, source=Source(1))])
    model = net()
    whole = edge_trt.calibrate(model, DYNAMIC, calibration=IMAGES)
    with pytest.raises(CalibrationError, match="there are ranges alone: add --calibration DATA"):
        _compile(model, calibration=None, ranges=whole, calibration_method="best")
    with pytest.raises(CalibrationError, match="float outputs, and this model has none"):
        _compile(Counted().eval(), calibration_method="best")


@pytest.mark.parametrize(
    ("exceptions", "modules"), [("first", {"head"}), ("last", {"conv"}), ("head", {"conv"})]
)
def test_exceptions(exceptions: str, modules: set[str]) -> None:
    bundle = _compile(int8_except=exceptions)
    assert {layer["module"] for layer in bundle.quantization["noise"]} == modules
    (kept,) = bundle.report["kept_fp32"]
    assert kept["reason"] == f"asked for by int8_except pattern {exceptions!r}"


def test_dense_has_a_range_for_every_tensor() -> None:
    sparse, dense = _compile(), _compile(int8_scheme="dense")
    assert len(dense.ranges.tensors) > len(sparse.ranges.tensors)
    (network,) = dense.networks
    quantized = {n.inputs[0].name for n in network.nodes if isinstance(n.layer, Quantize)}
    # A calibration cache names the outputs too, though no layer reads them in int8.
    assert set(dense.ranges.tensors) == quantized | {t.name for t in network.outputs}


class Joined(nn.Module):
    """Two branches of different size, which are concatenated and pooled."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
        self.last = nn.ModuleList([nn.Conv2d(4, 2, 1), nn.Conv2d(4, 2, 1), nn.Conv2d(8, 2, 1)])

    def forward(self, x):
        a, b = self.left(x).relu(), self.right(x).relu() * 9
        both = nn.functional.max_pool2d(torch.cat([a, b], 1), 1)
        return [layer(y).mean((2, 3)) for layer, y in zip(self.last, (a, b, both), strict=True)]


@pytest.mark.parametrize("scheme", ["sparse", "dense"])
def test_shown_and_exported_are_the_scales_of_the_network(scheme: str, tmp_path: Path) -> None:
    bundle = _compile(Joined().eval(), int8_scheme=scheme)
    scales = {
        n.inputs[0].name: float(n.inputs[1].data)
        for n in bundle.networks[0].nodes
        if isinstance(n.layer, Quantize)
    }
    bundle.ranges.save(tmp_path / "ranges.json")
    again = Ranges.load(tmp_path / "ranges.json")
    assert len(again.groups[0]) >= 3
    for ranges in (bundle.ranges, again, again.with_method(bundle.ranges.method)):
        found = {name: ranges.tensors[name].scale for name in scales}
        assert found == pytest.approx(scales, rel=1e-6)
        assert len({ranges.tensors[name].amax for name in again.groups[0]}) == 1


def test_a_hybrid_is_calibrated_through_its_fallback() -> None:
    data = RNG.standard_normal((64, 8)).astype(np.float32)
    model = Hybrid().eval()
    bundle = _compile(model, (batch(8),), calibration=data)
    tensorrt = [p.name for p in bundle.parts if p.network is not None]
    assert len(tensorrt) == 2
    assert {name.partition("/")[0] for name in bundle.ranges.tensors} == set(tensorrt)
    with torch.inference_mode():
        wanted = model(torch.from_numpy(data[:6])).numpy()
    found = bundle.module()(torch.from_numpy(data[:6])).numpy()
    assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()


def test_plans_compute_the_rest_in_half() -> None:
    pytest.importorskip("tensorrt_rtx")
    bundle = _compile(target=("cpu", "rtx"))
    assert {plan.target for plan in bundle.plans} == {"rtx"}
    types = {t.dtype for n in bundle.networks[0].nodes for t in n.outputs}
    assert types == {DType.FLOAT32, DType.INT8}


def test_a_batch_of_one_size_is_accounted_for_too() -> None:
    fixed = _compile(inputs=(torch.zeros(4, 3, 8, 8),))
    assert all(milliseconds > 0 for milliseconds in fixed.quantization["latency_ms"].values())


def test_ranges_can_be_chosen_anew() -> None:
    model = net()
    ranges = edge_trt.calibrate(model, DYNAMIC, calibration=IMAGES)
    for method in ("max", "best"):
        again = _compile(model, ranges=ranges, calibration_method=method)
        assert again.ranges == edge_trt.calibrate(
            model, DYNAMIC, calibration=IMAGES, calibration_method=method
        )
    imported = Ranges("", "imported", tensors=ranges.tensors)
    with pytest.raises(CalibrationError, match="no histograms, so no other method"):
        _compile(model, ranges=imported, calibration_method="max")


def test_ranges_of_another_model_are_refused() -> None:
    ranges = edge_trt.calibrate(net(), DYNAMIC, calibration=IMAGES)
    with pytest.raises(CalibrationError, match="from another model than this: its weights differ"):
        _compile(net(), ranges=ranges)
    other = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    with pytest.raises(CalibrationError, match=r"it has no .*, and they lack its input"):
        _compile(other, (batch(8),), calibration=None, ranges=ranges)


def test_ranges_are_those_of_the_model_with_other_open_sizes() -> None:
    model = net()
    ranges = edge_trt.calibrate(model, DYNAMIC, calibration=IMAGES)
    for inputs in ((torch.zeros(1, 3, 8, 8),), (torch.zeros(4, 3, 8, 8),)):
        assert _compile(model, inputs, ranges=ranges).ranges.tensors == ranges.tensors
    other = net()
    other.load_state_dict(model.state_dict() | {"head.weight": model.head.weight + 1})
    with pytest.raises(CalibrationError, match="its weights differ"):
        _compile(other, ranges=ranges)


def test_ranges_of_a_tool_without_names_of_ours_are_refused() -> None:
    with pytest.raises(CalibrationError, match="there are no ranges for "):
        _compile(calibration=None, ranges=Ranges("", "imported"))


def test_only_fp32_can_be_calibrated_or_tuned(tmp_path: Path) -> None:
    bundle = edge_trt.compile(net(), DYNAMIC, precision="fp16")
    with pytest.raises(CalibrationError, match="the bundle is in fp16"):
        edge_trt.calibrate(bundle, calibration=IMAGES)
    with pytest.raises(CalibrationError, match="the bundle is in fp16"):
        edge_trt.tune(bundle, None, tmp_path / "m.edge", drop=1, calibration=IMAGES, metric=len)


@pytest.mark.filterwarnings("ignore:.*samples are repetitions")
def test_as_many_samples_as_asked() -> None:
    same = np.tile(IMAGES[:16], (40, 1, 1, 1))
    for samples, used in ((None, 132), (600, 600), (10, 10)):
        found = edge_trt.calibrate(net(), DYNAMIC, calibration=same, samples=samples)
        assert found.source.samples == used


@pytest.mark.parametrize(
    ("inputs", "size", "samples"),
    [
        (DYNAMIC, 30, 512),
        (DYNAMIC, 200, 512),
        (DYNAMIC, 1000, 512),
        ((torch.zeros(5, 3, 8, 8),), 30, 510),  # a model of one size takes whole batches
        ((torch.zeros(600, 3, 8, 8),), 100, 600),
    ],
)
def test_no_more_samples_than_are_usual(inputs: Any, size: int, samples: int) -> None:
    def growing() -> Iterator[np.ndarray]:  # the ranges never stand still
        for start in range(0, 1000, size):
            rows = np.arange(start, start + size, dtype=np.float32) + 1
            yield rows[:, None, None, None] * np.ones((1, 3, 8, 8), np.float32)

    ranges = edge_trt.calibrate(net(), inputs, calibration=growing)
    assert ranges.source.samples == samples


def test_few_samples_are_remarked_on() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _compile(calibration=IMAGES[:1])
    assert any("1 sample set the ranges" in str(w.message) for w in caught)
