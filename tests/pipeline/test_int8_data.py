# SPDX-License-Identifier: Apache-2.0
"""Data for int8: what is wrong with it is named, and every row of it is used."""

from __future__ import annotations

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
from edge_trt.precision import cache_version
from edge_trt_calibration import CalibrationError
from edge_trt_calibration.tensorrt_cache import to_cache
from tests.pipeline.models import net
from tests.pipeline.test_int8 import DYNAMIC, IMAGES, _compile

pytestmark = pytest.mark.filterwarnings("ignore:.*samples? set the ranges.*")


def _once() -> Iterator[np.ndarray]:
    yield IMAGES[:6]


def _raises() -> Iterator[np.ndarray]:
    yield IMAGES[:4]
    raise KeyError("image_7")


def _of_a_path(path: str) -> np.ndarray:
    return np.load(path)


BAD = {
    "generator that fails": (
        {"calibration": _raises}, (r"batch 1 of the calibration data could not be made: "
        r"KeyError: 'image_7' at .*test_int8_data.py:\d+ in _raises: raise KeyError")
    ),
    "function with an argument": (
        {"calibration": _of_a_path}, (r"_of_a_path, which gives the calibration data, failed: "
        r"TypeError: .* argument: 'path' at .*test_int8_data.py:\d+: it is called without")
    ),
    "samples of ranges": ({"ranges": "r.json", "samples": 8}, "the ranges are there already"),
    "empty": ({"calibration": []}, "the calibration data is empty"),
    "shape": ({"calibration": IMAGES[:, :2]}, r"image has shape \[.*\], the model takes float32"),
    "nan": ({"calibration": IMAGES * np.nan}, "contains NaN"),
    "no file": ({"calibration": "missing.npz"}, "missing.npz can't be read"),
    "no object": ({"calibration": "missing.py:data"}, "there is no file missing.py"),
    "no ranges": ({"ranges": "missing.json"}, "missing.json can't be read"),
    "method": ({"calibration_method": "kl"}, "no calibration method 'kl'"),
    "pattern": ({"int8_except": "haed"}, "int8_except pattern 'haed' matches no layer"),
    "second pass": (
        {"calibration": _once(), "calibration_method": "entropy2"}, "which can be read once"
    ),
    "metric": ({"metric": lambda run: 1 / 0}, "the metric <lambda> failed: ZeroDivisionError"),
    "no number": ({"metric": lambda run: "good"}, "returned 'good': it has to return a finite"),
}  # fmt: skip


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=list(BAD))
def test_bad_data_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(edge_trt.EdgeTrtError, match=message):
        _compile(**options)


def test_a_failed_metric_hands_the_ranges_on() -> None:
    def rate(run: Any) -> float:
        return float(run(IMAGES[:4, :2]).sum())

    model = net()
    with pytest.raises(edge_trt.EdgeTrtError, match=r"ranges=error\.ranges goes on") as caught:
        _compile(model, metric=rate)
    wanted = _compile(model)
    ranges: Any = caught.value.ranges  # type: ignore[attr-defined]
    assert str(_compile(model, ranges=ranges).networks) == str(wanted.networks)


def test_a_method_that_there_is_not_is_refused_before_the_model_is_read() -> None:
    given: dict[str, Any] = {"precision": "int8", "calibration": IMAGES}
    with pytest.raises(CalibrationError, match="no calibration method 'kl'"):
        edge_trt.compile("nowhere.py:create", **given, calibration_method="kl")


@pytest.mark.parametrize("stage", ["self-test", "engines"])
@pytest.mark.parametrize("given", [False, True])
def test_what_fails_after_the_calibration_hands_the_ranges_on(stage: str, given: bool) -> None:
    class Refused(edge_trt.BuildError):
        """Stands for whatever a later stage raises."""

    def fails(name: str, fraction: float, note: str) -> None:
        if name == stage:
            raise Refused("no", hint="do this", layer="conv")

    model = net()
    ranges = {"ranges": edge_trt.calibrate(model, DYNAMIC, calibration=IMAGES)} if given else {}
    with pytest.raises(Refused, match="no: do this") as caught:
        _compile(model, progress=fails, **ranges)
    assert caught.value.layer == "conv"
    assert ("ranges=error.ranges" in str(caught.value)) is not given
    kept: Any = vars(caught.value).get("ranges")
    assert (kept is None) is given
    if not given:
        assert kept.source.samples == len(IMAGES)


class Pair(nn.Module):
    """Looks indices up, and adds what belongs to each."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.last = nn.Embedding(10, 8), nn.Linear(8, 2)

    def forward(self, ids, rows):
        return self.last(self.table(ids) + rows)


@pytest.mark.parametrize(
    ("ids", "count", "message"),
    [
        (11, 4, "the model can't run batch 1: .*look at its values: indices beyond a table"),
        (1, 3, "batch 1: batch is 4 in ids and 3 in rows"),
    ],
)
def test_a_batch_that_the_model_can_not_run_is_named(ids: int, count: int, message: str) -> None:
    inputs = (
        edge_trt.Input(("batch",), dtype="int64", min=1, opt=2, max=8, name="ids"),
        edge_trt.Input(("batch", 8), min=1, opt=2, max=8, name="rows"),
    )
    good = (np.ones(4, np.int64), np.zeros((4, 8), np.float32))
    bad = (np.full(4, ids), np.zeros((count, 8), np.float32))
    with pytest.raises(CalibrationError, match=message):
        _compile(Pair().eval(), inputs, calibration=[good, bad])


def test_data_beside_ranges_is_checked_too() -> None:
    inputs = (edge_trt.Input(("batch",), dtype="int64", min=1, opt=2, max=8, name="ids"),)
    table = nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 2)).eval()
    ranges = edge_trt.calibrate(table, inputs, calibration=[np.arange(4)])
    rows = {
        "the model can't run batch 1: ": [np.ones(4, np.int64), np.full(4, 11)],
        "the calibration data is empty": [],
    }
    for message, data in rows.items():
        for method in (None, "best"):
            given = {"ranges": ranges, "calibration": data, "calibration_method": method}
            with pytest.raises(CalibrationError, match=message):
                _compile(table, inputs, **given)


def test_a_metric_gets_all_rows_of_a_model_of_one_size() -> None:
    shapes: list[tuple[int, ...]] = []

    def rate(run: Any) -> float:
        found = run(IMAGES[:7])
        shapes.append(found.shape)
        return float(np.abs(found - run(np.tile(IMAGES[6:7], (2, 1, 1, 1)))[0])[6].max())

    bundle = _compile(inputs=(torch.zeros(2, 3, 8, 8),), metric=rate)
    assert {shape[0] for shape in shapes} == {7}
    assert bundle.quantization["metric"]["fp32"] == pytest.approx(0, abs=1e-6)


def _folder(place: Path) -> Path:
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(place / f"{i}.png")
    return place


def test_images_without_a_normalization_are_remarked_on(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    with pytest.warns(
        edge_trt.EdgeTrtWarning, match=r"says no normalization of image, so .*--image"
    ):
        edge_trt.calibrate(net(), DYNAMIC, calibration=folder)
    for dtype in ("uint8", "float32"):
        prepared = edge_trt.ImageInput(
            min=(1, 8, 8, 3), opt=(2, 8, 8, 3), max=(8, 8, 8, 3), dtype=dtype, mean="imagenet"
        )
        edge_trt.calibrate(net(), (prepared,), calibration=folder)  # and no warning
        with pytest.raises(CalibrationError, match=r"holds .* to .*, "):
            edge_trt.calibrate(net(), (prepared,), calibration=[np.full((2, 8, 8, 3), 300.0)])


@pytest.mark.parametrize(
    ("version", "target", "message"),
    [
        ("8.6.1", "agx-orin-64gb", "written by TensorRT 8.6.1, and this build is for TensorRT 10."),
        ("8.6.1", "cpu", ""),
        ("10.3.0", "agx-orin-64gb", ""),
    ],
)
def test_a_cache_of_another_tensorrt_is_remarked_on(
    version: str, target: str, message: str, tmp_path: Path
) -> None:
    model, path = net(), tmp_path / "calib.cache"
    ranges = edge_trt.calibrate(model, DYNAMIC, calibration=IMAGES)
    path.write_text(str(to_cache(ranges, version)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _compile(model, ranges=path, target=("cpu", target))
    said = [str(w.message) for w in caught if "was written by" in str(w.message)]
    assert len(said) == bool(message)
    assert message in "".join(said)


def test_an_installed_tensorrt_is_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "10.13.3.9")
    assert cache_version.remark_on("c", "101303", ["cpu"]) is None
    said = cache_version.remark_on("c", "100300", ["cpu", "agx-orin-64gb"])
    assert said is not None
    assert "by TensorRT 10.3.0, and this build is for TensorRT 10.13.3" in said


def test_missing_files_are_noticed_before_the_model_is_captured() -> None:
    def unread() -> nn.Module:
        pytest.fail("this model was not needed")

    for options in ({"calibration": "no.npz"}, {"metric": "no.py:f"}, {"ranges": "no.json"}):
        with pytest.raises(edge_trt.EdgeTrtError, match=r"no\.(npz|json) can't be read|no\.py"):
            _compile(unread, **options)


class _Smoothed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.register_buffer("level", torch.full((1, 4), 0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.level += 0.25 * (x.mean(0, keepdim=True) - self.level)
        return self.layer(x - self.level)


@pytest.mark.filterwarnings("ignore:.*samples? set the ranges.*")
def test_data_need_not_have_the_states() -> None:
    x = np.random.default_rng(0).standard_normal((64, 1, 4)).astype(np.float32)

    def metric(run: Any) -> float:
        return float(run(x[0])["output"].std())

    inputs = (torch.zeros(1, 4),)
    bundle = edge_trt.compile(
        _Smoothed().eval(), inputs, states="io", precision="int8", calibration=list(x),
        metric=metric,
    )  # fmt: skip
    assert bundle.ranges.source.samples == 64
    assert set(bundle.states) == {"level"}
    given = [(row, bundle.states["level"]) for row in x]
    ranges = edge_trt.calibrate(_Smoothed().eval(), inputs, states="io", calibration=given)
    assert ranges.source == bundle.ranges.source
