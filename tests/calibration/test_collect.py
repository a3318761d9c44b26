# SPDX-License-Identifier: Apache-2.0
"""A pass over data: the same ranges however it is cut, an early end, and remarks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from edge_trt_calibration import CalibrationError, Convergence, collect, merge
from edge_trt_calibration.collect import Enough, read_out
from edge_trt_calibration.inputs import Feed
from edge_trt_calibration.methods import BINS, entropy2

DATA = np.random.default_rng(0).standard_normal((256, 64)).astype(np.float32)


def _observe(feed: Feed) -> Iterator[dict[str, np.ndarray]]:
    yield {"x": feed["x"]}
    with np.errstate(over="ignore"):
        yield {"square": feed["x"] ** 2}


def _feeds(data: np.ndarray, size: int = 8) -> list[Feed]:
    return [{"x": data[i : i + size]} for i in range(0, len(data), size)]


@pytest.mark.parametrize("method", ["max", "mse", "entropy", "percentile", "entropy2"])
def test_batches_and_order_do_not_matter(method: str) -> None:
    whole = collect(_observe, _feeds(DATA), model="m", method=method, early=False)
    other = collect(_observe, _feeds(DATA[::-1], 5), model="m", method=method, early=False)
    assert other == whole
    assert whole.source.samples == 256


def test_parts_merge_to_one_pass() -> None:
    whole = collect(_observe, _feeds(DATA), model="m", early=False)
    parts = [collect(_observe, _feeds(p), model="m", early=False) for p in (DATA[:100], DATA[100:])]
    assert merge(parts) == whole


def test_the_entropy_of_a_second_pass_is_that_of_linear_bins() -> None:
    found = collect(_observe, _feeds(DATA), model="m", method="entropy2", early=False)
    bins = np.histogram(np.abs(DATA), BINS, (0, np.abs(DATA).max()))[0]
    wanted = entropy2(bins, float(np.abs(DATA).max()))
    assert found.tensors["x"].amax == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("scale", [1e-38, 1e-42, 1e-45])
def test_a_second_pass_over_denormal_numbers(scale: float) -> None:
    data = (DATA * scale).astype(np.float32)
    found = collect(lambda f: [{"x": f["x"]}], _feeds(data), model="m", method="entropy2")
    assert 0 < found.tensors["x"].amax <= np.abs(data).max()


class _Spent:
    """Gives the same generator for every pass."""

    def __init__(self, batches: list[Feed]) -> None:
        self._batches = iter(batches)

    def __iter__(self) -> Iterator[Feed]:
        return self._batches


def test_a_second_pass_needs_the_same_samples() -> None:
    feeds = _feeds(np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32))
    with pytest.raises(CalibrationError, match="which can be read once"):
        collect(_observe, _Spent(feeds), model="m", method="entropy2")
    with pytest.raises(CalibrationError, match="gave other samples than the first"):
        collect(_observe, _Spent(feeds), model="m", method="entropy2", samples=32)


def test_who_watches_may_end_the_pass() -> None:
    said: list[str] = []

    def watch(count: int, last: Convergence | None) -> None:
        if count == 24:
            raise Enough

    found = collect(_observe, _feeds(DATA), model="m", progress=watch, remark=said.append)
    assert found == collect(_observe, _feeds(DATA[:24]), model="m")
    assert said[0] == "interrupted: these are the ranges of the first 24 samples"


def test_stops_early_when_the_ranges_stand_still() -> None:
    looks: list[Convergence | None] = []
    data = np.tile(DATA[:16], (64, 1))
    found = collect(_observe, _feeds(data), model="m", progress=lambda _, look: looks.append(look))
    assert found.source.samples == 128
    assert looks[-1] is not None
    look = "128 samples: 100% of the ranges moved less than 1%"
    assert read_out(128, looks[-1]) == look
    assert read_out(200, looks[-1]) == f"200 samples; at {look}"
    assert read_out(10, None) == "10 samples"
    whole = collect(_observe, _feeds(data), model="m", early=False, samples=None)
    assert whole.source.samples == 1024


def test_goes_on_while_the_ranges_move() -> None:
    growing = DATA * np.linspace(0, 1, 256, dtype=np.float32)[:, None]
    assert collect(_observe, _feeds(growing), model="m").source.samples == 256


def test_ends_after_as_many_samples_as_asked() -> None:
    assert collect(_observe, _feeds(DATA), model="m", samples=20).source.samples == 24


def _remarks(data: np.ndarray, pixels: Sequence[str] = ()) -> str:
    found: list[str] = []
    collect(_observe, _feeds(data), model="m", remark=found.append, pixels=pixels)
    return "; ".join(found)


@pytest.mark.parametrize(
    ("data", "remark"),
    [
        (DATA[:1], "1 sample set the ranges: use at least 100"),
        (DATA[:50], "50 samples set the ranges"),
        (np.tile(DATA[:8], (2, 1)), "8 of 16 samples are repetitions"),
        (np.full_like(DATA, 3), "input x is 3 in all samples: is the data loaded?"),
        (np.floor(np.abs(DATA) % 1 * 256), "input x holds whole numbers from 0 to 255"),
        (np.zeros_like(DATA), "x, square: zero in all samples"),
        (DATA * 1e19, "NaN or infinity in square: left out of the ranges"),
    ],
)
def test_doubtful_data_is_remarked_on(data: np.ndarray, remark: str) -> None:
    assert remark in _remarks(data.astype(np.float32))


def test_good_data_is_not_remarked_on() -> None:
    assert _remarks(DATA) == ""
    assert _remarks(np.floor(np.abs(DATA) % 1 * 256), pixels=["x"]) == ""


def test_pixels_that_are_divided_already_are_remarked_on() -> None:
    assert "input x holds 0 to 1, and the model takes pixels" in _remarks(
        np.clip(DATA, 0, 1), pixels=["x"]
    )


def test_empty_data_is_refused() -> None:
    with pytest.raises(CalibrationError, match="calibration data is empty"):
        collect(_observe, [], model="m")


def test_a_tensor_of_nothing_but_nan_is_refused() -> None:
    with pytest.raises(CalibrationError, match="nothing but NaN and infinity in y"):
        collect(lambda feed: [{"y": feed["x"] * np.nan}], _feeds(DATA), model="m")
