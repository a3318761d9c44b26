# SPDX-License-Identifier: Apache-2.0
"""Pictures of histograms show the distribution, whatever the buckets are."""

from __future__ import annotations

import numpy as np
import pytest

from edge_trt.cli.plot import counts_between
from edge_trt_calibration import Histogram
from edge_trt_calibration.ranges import COARSE

RNG = np.random.default_rng(0)


def _counted(values: np.ndarray, *, coarse: bool) -> Histogram:
    histogram = Histogram()
    histogram.add(values.astype(np.float32))
    return Histogram.from_dict(histogram.as_dict(COARSE)) if coarse else histogram


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("top", [1.0, 3.9, 1000.0])
def test_an_even_distribution_is_drawn_even(top: float, coarse: bool) -> None:
    values = np.linspace(0, top, 1_000_000)
    edges = np.linspace(0, top, 561)
    found = counts_between(edges, _counted(values, coarse=coarse), coarse=coarse)
    assert found.sum() == pytest.approx(len(values))
    assert found == pytest.approx(len(values) / 560, rel=0.02)


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e37])
def test_a_bell_has_no_gaps(scale: float, coarse: bool) -> None:
    values = np.abs(RNG.standard_normal(1_000_000)) * scale
    edges = np.linspace(0, 2 * scale, 561)
    found = counts_between(edges, _counted(values, coarse=coarse), coarse=coarse)
    wanted = np.histogram(values, edges)[0]
    assert found == pytest.approx(wanted, rel=0.2)


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        ([], [0, 0, 0, 0]),
        ([0.0, 0.0], [2, 0, 0, 0]),
        ([4.0, 4.0, -4.0], [0, 0, 0, 3]),
        ([0.5, 2.5], [1, 0, 1, 0]),
    ],
)
def test_every_value_is_drawn_once(values: list[float], counts: list[int]) -> None:
    histogram = _counted(np.array(values), coarse=False)
    found = counts_between(np.arange(5.0), histogram, coarse=False)
    assert found == pytest.approx(np.array(counts, float))
