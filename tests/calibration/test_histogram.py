# SPDX-License-Identifier: Apache-2.0
"""Counting magnitudes: exact extremes, exact merges, nothing lost."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_trt_calibration import CalibrationError, Histogram
from edge_trt_calibration.histogram import BUCKETS, SHIFT, edges

FLOATS = arrays.arrays(np.float32, st.integers(0, 200), elements=st.floats(width=32))


def _histogram(*parts: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(part)
    return histogram


@given(FLOATS)
def test_every_value_is_counted_once(values: np.ndarray) -> None:
    histogram = _histogram(values)
    finite = values[np.isfinite(values)]
    assert histogram.nan == np.isnan(values).sum()
    assert histogram.infinite == np.isinf(values).sum()
    assert histogram.total == finite.size
    assert histogram.amax == np.abs(finite).max(initial=0)
    used = np.flatnonzero(histogram.counts)
    low, high = edges(used)
    for bucket, (a, b) in zip(used, zip(low, high, strict=True), strict=True):
        magnitudes = np.abs(finite.astype(np.float64))
        inside = (magnitudes >= a) & ((magnitudes < b) | (bucket == BUCKETS - 1))
        assert histogram.counts[bucket] == inside.sum()


@given(st.lists(FLOATS, min_size=1, max_size=4))
def test_neither_order_nor_batches_matter(parts: list[np.ndarray]) -> None:
    whole = _histogram(np.concatenate(parts))
    for order in itertools.permutations(parts):
        assert _histogram(*order) == whole
        merged = Histogram()
        for part in order:
            merged.merge(_histogram(part))
        assert merged == whole


@given(FLOATS)
def test_reads_what_it_wrote(values: np.ndarray) -> None:
    histogram = _histogram(values)
    assert Histogram.from_dict(histogram.as_dict()) == histogram


def test_a_coarser_form_keeps_extremes_and_counts() -> None:
    values = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    fine = _histogram(values)
    coarse = Histogram.from_dict(fine.as_dict(SHIFT + 5))
    assert (coarse.low, coarse.high, coarse.total) == (fine.low, fine.high, fine.total)
    (a, n), (b, m) = fine.levels(), coarse.levels()
    assert b.size < a.size / 5
    assert np.dot(b, m) == pytest.approx(np.dot(a, n), rel=1e-3)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32", "bool"])
def test_other_types_count_as_float32(dtype: str) -> None:
    values = np.arange(8).astype(dtype)
    assert _histogram(values) == _histogram(values.astype(np.float32))


def test_more_than_a_block_and_more_than_an_axis() -> None:
    values = np.random.default_rng(0).standard_normal((3, 70_001)).astype(np.float32)
    assert _histogram(values) == _histogram(*values)


@pytest.mark.parametrize(
    "damage", [{"counts": "?"}, {"counts": "AAAA"}, {"shift": None}, {"low": "x"}, {"nan": None}]
)
def test_a_damaged_form_is_refused(damage: dict[str, object]) -> None:
    values = _histogram(np.ones(3, np.float32)).as_dict()
    with pytest.raises(CalibrationError, match="histogram can't be read"):
        Histogram.from_dict(values | damage)


def test_levels_are_those_of_now() -> None:
    histogram = Histogram()
    for count, other in ((1, False), (2, True), (3, False)):
        if other:
            more = Histogram()
            more.add(np.ones(1))
            histogram.merge(more)
        else:
            histogram.add(np.ones(1))
        assert histogram.levels()[1].tolist() == [count]
        assert histogram.levels()[0] is histogram.levels()[0]  # looked up once
    first = histogram.levels()
    histogram.forget()
    assert histogram.levels()[0] is not first[0]


GROWTH = """
import numpy as np
from pathlib import Path
from edge_trt_calibration import Histogram

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

before = resident()
histograms = [Histogram() for _ in range(20)]
for histogram in histograms:
    histogram.add(np.linspace(1, 2, 100, dtype=np.float32))
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and tunes the GNU C library")
def test_buckets_that_nothing_fell_into_take_no_memory() -> None:
    # Beside a running model the C library reuses what was freed, and clears it to hand it out;
    # here it is told never to ask the system, and to clear always.
    tuned = "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.perturb=165"
    run = [sys.executable, "-c", GROWTH]
    environment = os.environ | {"GLIBC_TUNABLES": tuned}
    printed = subprocess.run(run, env=environment, check=True, capture_output=True, text=True)
    assert int(printed.stdout) * 1024 < 20 * BUCKETS * 8 / 10
