# SPDX-License-Identifier: Apache-2.0
"""The self-test passes on a good bundle, and notices every kind of wrong answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime import BundleError, InputError, SelfTest, SelfTestResult, run_self_test
from edge_trt_runtime.selftest import _compare
from tests.support.bundles import relu_draft, self_tested


def test_a_good_bundle_passes(tmp_path: Path) -> None:
    path = self_tested(tmp_path)
    results = run_self_test(path)
    assert [(r.case, r.output, r.passed) for r in results] == [
        ("case0", "output", True),
        ("case1", "output", True),
    ]
    with edge_trt_runtime.load(path) as session:
        assert run_self_test(session) == results
        session.run({"x": np.zeros((1, 4), np.float32)})  # the caller's session stays open


def test_a_wrong_answer_fails_with_numbers(tmp_path: Path) -> None:
    good, bad = run_self_test(self_tested(tmp_path, error=0.5))
    assert good.passed
    assert not bad.passed
    assert bad.max_abs == pytest.approx(0.5, rel=1e-5)
    assert bad.problem == "4 of 4 values differ by more than the tolerance"


def test_an_error_below_the_tolerance_passes(tmp_path: Path) -> None:
    results = run_self_test(self_tested(tmp_path, error=5e-6))
    assert all(result.passed for result in results)
    assert 0 < results[1].max_abs < 1e-5


def test_no_self_test_no_results(tmp_path: Path) -> None:
    assert run_self_test(relu_draft().write(tmp_path / "m.edge")) == []


@pytest.mark.parametrize(
    "flaw",
    [{"cases": 3}, {"case1/out/output": None}, {"case1/out/other": np.zeros(1, np.float32)}],
    ids=["count", "no output", "other output"],
)
def test_recorded_cases_that_do_not_fit(tmp_path: Path, flaw: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=r"does not hold . cases with the outputs"):
        run_self_test(self_tested(tmp_path, **flaw))


def test_recorded_inputs_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="input 'x' is missing"):
        run_self_test(self_tested(tmp_path, **{"case0/in/x": None}))


def compare(got: Any, expected: Any, rtol: float = 0.0, atol: float = 0.0) -> SelfTestResult:
    test = SelfTest("", 1, rtol, atol)
    return _compare("c", "o", np.asarray(got), np.asarray(expected), test)


@pytest.mark.parametrize(
    ("got", "expected", "passes"),
    [
        ([np.nan, 1.0], [np.nan, 1.0], True),
        ([np.nan, 1.0], [0.0, 1.0], False),
        ([0.0, 1.0], [np.nan, 1.0], False),
        ([np.inf, -np.inf], [np.inf, -np.inf], True),
        ([np.inf, 1.0], [-np.inf, 1.0], False),
        ([np.inf, 1.0], [1e300, 1.0], False),
        ([True, False], [True, False], True),
        ([True, False], [True, True], False),
        ([3, 4], [3, 5], False),
        ([1 + 2j], [1 + 2j], True),
        ([1 + 2j], [1 - 2j], False),
        (np.zeros((0, 3)), np.zeros((0, 3)), True),
        (np.float64(2.5), np.float64(2.5), True),
    ],
)
def test_comparison(got: Any, expected: Any, passes: bool) -> None:
    assert compare(got, expected).passed is passes


def test_comparison_of_another_shape_or_type() -> None:
    assert compare(np.zeros(3), np.zeros((3, 1))).problem == "is float64[3], not float64[3, 1]"
    assert not compare(np.zeros(3, "f4"), np.zeros(3)).passed


def test_tolerances_add_up() -> None:
    assert compare([10.2], [10.0], rtol=0.01, atol=0.11).passed
    assert not compare([10.2], [10.0], rtol=0.01, atol=0.09).passed
    assert compare(np.array([250], "u1"), np.array([5], "u1")).max_abs == 245
