# SPDX-License-Identifier: Apache-2.0
"""Ranges by every method: published figures, plain reference code, and odd distributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_trt_calibration import CalibrationError, Histogram, method_of
from edge_trt_calibration.methods import BINS, SquaredErrors, best_bin, entropy2
from tests.calibration import reference

MILLION = 10**6


def _distributions() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found = {
        "half-normal": np.abs(rng.standard_normal(MILLION)),
        "relu": np.maximum(rng.standard_normal(MILLION), 0),
        "laplace": np.abs(rng.laplace(size=MILLION)),
        "student-t3": np.abs(rng.standard_t(3, size=MILLION)),
        "lognormal": rng.lognormal(size=MILLION),
        "uniform": rng.random(MILLION),
        "outliers": np.concatenate([np.abs(rng.standard_normal(MILLION)), np.full(5, 60.0)]),
    }
    return {name: values.astype(np.float32) for name, values in found.items()}


DISTRIBUTIONS = _distributions()

# Kullback-Leibler over numpy's own 2048 linear bins, and the percentile of the sorted values.
ENTROPY = {
    "half-normal": 4.6580,
    "relu": 4.3563,
    "laplace": 11.9406,
    "student-t3": 23.409,
    "lognormal": 24.892,
    "uniform": 1.0,
    "outliers": 4.7461,
}


def _histogram(values: np.ndarray) -> Histogram:
    histogram = Histogram()
    histogram.add(values)
    return histogram


def _bins(values: np.ndarray) -> np.ndarray:
    return np.histogram(values, BINS, (0, float(values.max())))[0]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_entropy_of_linear_bins(name: str) -> None:
    values = DISTRIBUTIONS[name]
    bins = _bins(values).astype(float)
    bins[0] = bins[1]
    assert best_bin(bins) * values.max() / BINS == pytest.approx(ENTROPY[name], rel=1e-4)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_entropy_of_the_histogram_is_close(name: str) -> None:
    found = method_of("entropy")(_histogram(DISTRIBUTIONS[name]))
    assert found == pytest.approx(ENTROPY[name], rel=0.01)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_percentile_is_that_of_the_sorted_values(name: str) -> None:
    values = DISTRIBUTIONS[name]
    for percentage in (50, 99.9, 99.99, 100):
        found = method_of(f"percentile:{percentage}")(_histogram(values))
        wanted = np.percentile(values, percentage, method="inverted_cdf")
        assert found == pytest.approx(wanted, rel=2**-11)
    assert method_of("percentile")(_histogram(values)) == method_of("percentile:99.99")(
        _histogram(values)
    )


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_mse_finds_the_smallest_error(name: str) -> None:
    values = DISTRIBUTIONS[name].astype(np.float64)
    chosen = method_of("mse")(_histogram(values))
    others = values.max() * np.geomspace(1 / 64, 1, 60)
    best = min(reference.squared_error(values, amax) for amax in others)
    assert reference.squared_error(values, chosen) <= best * 1.002


@given(
    st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=60),
    st.floats(2**-10, 1e6, width=32),
)
def test_errors_by_prefix_sums_are_those_of_the_levels(values: list[float], amax: float) -> None:
    histogram = _histogram(np.array(values, np.float32))
    centres, counts = histogram.levels()
    found = SquaredErrors.of(histogram)(np.array([amax]))[0]
    wanted = reference.squared_error(np.repeat(centres, counts), amax)
    # Both sums cancel: what is left is judged against what went in.
    assert found == pytest.approx(wanted, rel=1e-6, abs=1e-9 * float(counts @ centres**2))


@given(
    st.lists(st.integers(0, 50), min_size=130, max_size=180),
    st.sampled_from([0.0, 0.5, 0.9]),
    st.randoms(use_true_random=False),
)
def test_divergence_by_prefix_sums_is_that_of_loops(
    counts: list[int], empty: float, random: object
) -> None:
    kept = [n if random.random() >= empty else 0 for n in counts]  # type: ignore[attr-defined]
    bins = np.array(kept)
    found, wanted = best_bin(bins.astype(float)), reference.best_bin(bins)
    # Rounding may tell two equally good ones apart.
    p, q = (reference._divergence(bins.astype(float), size) for size in (found, wanted))
    assert p == pytest.approx(q, abs=1e-9)


def test_groups_share_what_they_hold_as_in_the_published_example() -> None:
    bins = np.array([1, 0, 2, 3, 5, 3, 1, 7])
    assert reference.expand(bins, 2).tolist() == [2, 0, 2, 2, 4, 4, 4, 4]


@pytest.mark.parametrize(
    ("amax", "hexadecimal"), [(1.0, "3c010a14"), (255.0, "4000890a")], ids=["unit", "bytes"]
)
def test_entropy2_without_clipping_is_what_tensorrt_writes(amax: float, hexadecimal: str) -> None:
    scale = np.float32(entropy2(np.ones(BINS), amax) / 127)
    assert scale.tobytes()[::-1].hex() == hexadecimal


def test_zeros_do_not_count() -> None:
    """With them the largest bin would be the only one that matters."""
    values = np.abs(np.random.default_rng(0).standard_normal(100_000)).astype(np.float32)
    amax = float(values.max())
    wanted = entropy2(np.histogram(values, BINS, (0, amax))[0], amax)
    found = entropy2(np.histogram(np.append(values, np.zeros(10**6)), BINS, (0, amax))[0], amax)
    assert found == wanted
    assert found > 3


ODD = {
    "nothing": [],
    "zeros": [0.0] * 10,
    "one value": [3.0] * 10,
    "one spike": [0.0] * 1000 + [5.0],
    "tiny": [1e-40, 3e-39],
    "huge": [3e38, -2e38],
    "two": [-1.0, 1e-3],
}


@pytest.mark.parametrize("method", ["max", "percentile", "mse", "entropy"])
@pytest.mark.parametrize("values", ODD.values(), ids=list(ODD))
def test_odd_distributions_have_a_range(method: str, values: list[float]) -> None:
    array = np.array(values, np.float32)
    found = method_of(method)(_histogram(array))
    assert 0 <= found <= np.abs(array).max(initial=0) * (1 + 1e-6)
    assert np.isfinite(found)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kl", "no calibration method 'kl': choose one of max, mse, entropy"),
        ("best", "best runs the quantized model, and there are histograms alone"),
        ("entropy2", "entropy2 reads the data a second time, and there are histograms alone"),
        ("mse:3", "no calibration method 'mse:3'"),
        ("percentile:0", "above 0 and at most 100, not '0'"),
        ("percentile:x", "above 0 and at most 100, not 'x'"),
    ],
)
def test_unknown_methods_are_refused(name: str, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        method_of(name)
