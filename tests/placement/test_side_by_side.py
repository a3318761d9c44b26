# SPDX-License-Identifier: Apache-2.0
"""Which placements of a plan become engines, and how often each stream runs."""

from __future__ import annotations

from typing import Any

import pytest

from edge_trt.placement.assignment import Assignment, Region, everything_on_gpu
from edge_trt.placement.side_by_side import assignments, planned_rates, rates_of

ON_DLA = Assignment("n", "weak", "int8", "split", (Region("dla:0", ("a", "b")),))
ON_GPU = everything_on_gpu("n", ("a", "b"), "weak", "int8")


def entry(*rates: float, name: str = "n", alone: float = 0.0) -> dict[str, Any]:
    """A network in `placement.json`; the streams of a plan are in any order."""
    both = [(ON_GPU, rates[1]), (ON_DLA, rates[0])] if rates else []
    return {
        "network": name,
        "assignment": ON_DLA.as_dict(),
        "streams": [{"runs_per_second": r, "assignment": a.as_dict()} for a, r in both],
        "chosen": "DLA only",
        "modes": [{"alternatives": [{"name": "all GPU", "why": "none"},
                                    {"name": "DLA only", "per_second": alone}]}],
    }  # fmt: skip


def test_the_first_stream_is_what_runs_alone() -> None:
    assert assignments(entry(100, 300)) == [ON_DLA, ON_GPU]
    assert planned_rates(entry(100, 300)) == [100, 300]
    assert assignments(entry()) == [ON_DLA]
    assert planned_rates(entry()) == []
    old = entry()
    del old["streams"]  # of a bundle from before there were streams
    assert assignments(old) == [ON_DLA]


ROWS = [
    ([entry(100, 300)], (100, 300)),
    ([entry(100, 300), entry(100, 300)], (50, 150)),  # two networks take turns
    # 1/400 s in shares 1:3 and 1/400 s in shares 3:1
    ([entry(100, 300), entry(300, 100)], (100, 100)),
    ([entry(100, 300), entry(alone=400)], (50, 150)),
    # The slower one has more weight: 1/100 s in shares 1:1, 1/400 s in shares 1:3.
    ([entry(50, 50), entry(100, 300)], (80 * 0.45, 80 * 0.55)),
    ([entry(alone=400), entry(alone=400)], (200, 0)),
    ([], (0, 0)),
]


@pytest.mark.parametrize(("entries", "rates"), ROWS)
def test_how_often_a_bundle_runs(entries: list[dict[str, Any]], rates: tuple[float, float]) -> None:
    assert rates_of(entries, {"n": 1}) == pytest.approx(rates)


def test_a_batch_is_one_run() -> None:
    assert rates_of([entry(100, 300), entry(alone=1600)], {"n": 4}) == pytest.approx((50, 150))
