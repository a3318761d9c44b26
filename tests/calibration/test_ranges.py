# SPDX-License-Identifier: Apache-2.0
"""The file of ranges: what it keeps, what merges, what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from edge_trt_calibration import CalibrationError, Histogram, Ranges, TensorRange, merge
from edge_trt_calibration.ranges import Source, choose


def _ranges(seed: int, *, model: str = "m", method: str = "mse", names: str = "ab") -> Ranges:
    rng = np.random.default_rng(seed)
    histograms = {name: Histogram() for name in names}
    for histogram in histograms.values():
        histogram.add(rng.standard_normal(1000))
    source = Source(10, f"{seed:032x}")
    return Ranges(model, method, source, choose(histograms, method), histograms)


def test_reads_what_it_wrote(tmp_path: Path) -> None:
    ranges = _ranges(0)
    ranges.save(tmp_path / "ranges.json")
    assert Ranges.load(tmp_path / "ranges.json") == ranges
    assert list(tmp_path.iterdir()) == [tmp_path / "ranges.json"]


def test_another_method_of_the_same_data() -> None:
    ranges = _ranges(0)
    assert ranges.with_method("max") == _ranges(0, method="max")
    with pytest.raises(CalibrationError, match="no histograms"):
        Ranges("m", "mse", tensors=ranges.tensors).with_method("max")


@pytest.mark.parametrize("method", ["max", "mse", "entropy", "percentile:99"])
def test_merging_is_one_pass_over_all(method: str) -> None:
    parts = [_ranges(seed, method=method) for seed in (1, 2, 3)]
    whole = merge(parts)
    assert merge(parts[::-1]) == whole
    assert merge([merge(parts[:2]), parts[2]]) == whole
    assert whole.source == Source(30, f"{6:032x}")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            _ranges(1, model="n"),
            "part 1 and part 2 belong to different models: their tensors have the same names",
        ),
        (_ranges(1, model="n", names="ac"), "different models: one alone has b, c: merge those"),
        (_ranges(1, method="max"), "different methods, mse and max.* --calibration-method"),
        (_ranges(1, names="ac"), "different tensors: b, c"),
        (_ranges(0), "taken from the same data, which would count twice: name every part once"),
        (_ranges(1).grouped([["a", "b"]]), "other tensors share a scale in part 1 and part 2"),
        (dataclasses.replace(_ranges(1), histograms={}), "without whole histograms"),
        (Ranges.from_dict(_ranges(1).as_dict(coarse=True)), "without whole histograms"),
    ],
)
def test_what_does_not_belong_together_is_not_merged(other: Ranges, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        merge([_ranges(0), other])


def test_tensors_of_a_group_have_the_largest_range_of_them() -> None:
    parts = [_ranges(seed, names="abc").grouped([["a", "b"]]) for seed in (1, 2)]
    for found in (*parts, merge(parts), parts[0].with_method("max")):
        alone = choose(found.histograms, found.method)
        largest = max(alone["a"].amax, alone["b"].amax)
        assert found.tensors["a"].amax == found.tensors["b"].amax == largest
        assert found.tensors["c"] == alone["c"]
        smaller = min("ab", key=lambda name: alone[name].amax)
        assert found.tensors[smaller].clipped <= alone[smaller].clipped


def test_a_range_says_what_it_costs() -> None:
    histogram = Histogram()
    histogram.add(np.array([1.0] * 99 + [10.0]))
    for method, clipped in (("max", 0.0), ("percentile:99", 0.01)):
        chosen = choose({"x": histogram}, method)["x"]
        assert chosen.clipped == pytest.approx(clipped)
    exact = Histogram()
    exact.add(np.arange(-127, 128))
    best = choose({"x": exact}, "max")["x"].sqnr
    assert best is not None
    assert best > 60
    noisy = Histogram()
    noisy.add(np.random.default_rng(0).uniform(-1, 1, 100_000))
    assert choose({"x": noisy}, "max")["x"].sqnr == pytest.approx(48.1, abs=0.2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON file"),
        ("[]", "schema None, this version reads 1"),
        ('{"schema": 2}', "schema 2, this version reads 1: update edge_trt"),
        ('{"schema": 1}', "can't be read: KeyError"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "ranges.json"
    path.write_text(text)
    with pytest.raises(CalibrationError, match=message) as caught:
        Ranges.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("amax", [-1.0, float("nan"), "1", None])
def test_impossible_ranges_are_refused(amax: object) -> None:
    values = json.loads(json.dumps(_ranges(0).as_dict()))
    values["tensors"]["a"]["amax"] = amax
    with pytest.raises(CalibrationError, match=r"range of a is .*, which is no magnitude"):
        Ranges.from_dict(values)


def test_a_place_that_cannot_be_written_keeps_what_was_there(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="can't be written"):
        _ranges(0).save(tmp_path / "missing" / "ranges.json")
    (tmp_path / "ranges.json").mkdir()
    with pytest.raises(CalibrationError, match="can't be written"):
        _ranges(0).save(tmp_path / "ranges.json")
    assert [p.name for p in tmp_path.iterdir()] == ["ranges.json"]


def test_a_tensor_that_was_always_zero_has_a_scale() -> None:
    assert TensorRange(0.0, "max").scale == 1.0
