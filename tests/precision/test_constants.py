# SPDX-License-Identifier: Apache-2.0
"""Which constants float16 holds."""

from __future__ import annotations

import numpy as np
import pytest

from edge_trt.precision.constants import misfit


@pytest.mark.parametrize(
    "values",
    [
        [],
        [0.0],
        [1.0, -65504.0],
        [np.inf, -np.inf, 1.0],
        [np.nan],
        [1e-5],
        [1e-9, 1.0],
        np.random.default_rng(0).standard_normal(1000) * 1e-3,
    ],
    ids=str,
)
def test_fits(values: object) -> None:
    assert misfit(np.asarray(values, np.float32)) is None


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([70000.0], "reaches 7e+04"),
        ([1.0, -1e9], "reaches 1e+09"),
        ([np.inf, 1e9], "reaches 1e+09"),
        ([1e-6], "loses its digits"),
        ([1e-12], "loses its digits"),
        (np.random.default_rng(0).standard_normal(1000) * 1e-7, "loses its digits"),
    ],
    ids=str,
)
def test_does_not_fit(values: object, reason: str) -> None:
    assert reason in str(misfit(np.asarray(values, np.float32)))


def test_a_bias_may_be_small_but_not_large() -> None:
    assert misfit(np.full(8, 1e-7, np.float32), added=True) is None
    assert misfit(np.full(8, 1e7, np.float32), added=True) is not None


def test_views_of_any_layout() -> None:
    array = np.full((4, 4), 1e-6, np.float32)[::2, ::-1].T
    assert misfit(array) is not None
