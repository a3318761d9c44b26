# SPDX-License-Identifier: Apache-2.0
"""Confidence intervals that hold what they promise, on made-up measurements."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from edge_trt.bench.compare import Comparison, compare, differences
from edge_trt.bench.record import Block, Energy, Load, Record, Summary

ZERO = Summary(0, 0, 0, 0, 0, 0, 0)


def load(seed: int, level: float, joules: float | None = 1.0, spread: float = 0.01) -> Load:
    """Blocks that wander about a level, as clocks and other programs make them."""
    draw = random.Random(seed)
    blocks = [Block(100, 0.1 * level * draw.gauss(1, 0.03), level * draw.gauss(1, 0.03))
              for _ in range(30)]  # fmt: skip
    energy = None if joules is None else Energy(joules, spread, 10.0, {})
    return Load(1, 3000, sum(b.seconds for b in blocks), ZERO, blocks, energy)


def record(seed: int, level: float = 10.0, joules: float | None = 1.0, **more: Any) -> Record:
    return Record(
        date="", bundle={}, places={}, machine={"board": "a"}, conditions={"power mode": "MAXN"},
        doubts=[], load_ms=1, first_ms=1, single=load(seed, level, joules),
        saturated=load(seed + 1, level, joules), stages={}, segments={}, readings=[],
    ) if not more else msgspec.structs.replace(record(seed, level, joules), **more)  # fmt: skip


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_trt.bench.compare.RESAMPLES", 400)  # ten times as fast


def latency(a: Record, b: Record) -> Comparison:
    return compare(a, b)[0]


def test_what_is_the_same_is_seldom_told_apart():
    """The interval holds the true ratio in about 95 % of all cases."""
    kept = sum(latency(record(i), record(i + 1000)).verdict == "not told apart"
               for i in range(0, 80, 2))  # fmt: skip
    assert kept >= 35  # of 40


@pytest.mark.parametrize(("level", "verdict"), [(9.0, "better"), (11.0, "worse")])
def test_a_tenth_is_told(level: float, verdict: str):
    for i in range(0, 10, 2):
        row = latency(record(i), record(i + 1000, level))
        assert row.verdict == verdict
        assert row.low < level / 10 < row.high or abs(row.ratio - level / 10) < 0.03
        throughput = compare(record(i), record(i + 1000, level))[1]
        assert (throughput.name, throughput.verdict) == (
            "throughput, one caller [1/s]", verdict,
        )  # fmt: skip


def test_the_same_records_give_the_same_interval():
    assert compare(record(1), record(2)) == compare(record(1), record(2))


def test_energy():
    rows = [row for row in compare(record(0), record(1, joules=0.9)) if "energy" in row.name]
    assert [row.verdict for row in rows] == ["better", "better"]
    assert rows[0].ratio == pytest.approx(0.9)
    close = [row for row in compare(record(0), record(1, joules=0.99)) if "energy" in row.name]
    assert [row.verdict for row in close] == ["not told apart"] * 2
    assert len(compare(record(0, joules=None), record(1))) == 4
    unknown = record(0)
    energy = Energy(1.0, None, 10.0, {})
    unknown = msgspec.structs.replace(
        unknown, single=msgspec.structs.replace(unknown.single, energy=energy)
    )
    assert compare(unknown, record(1))[2].verdict == "not told apart"


def test_what_else_differs():
    other = record(1, machine={"board": "a", "tensorrt": "10.3.0"}, conditions={
        "power mode": "15W", "temperature": "50 C"})  # fmt: skip
    assert differences(record(0), other) == [
        "tensorrt: not told before, 10.3.0 after",
        "power mode: MAXN before, 15W after",
    ]
    assert differences(record(0), record(1)) == []
    newer = record(1, bundle={"path": "b.edge", "manifest": "1"})
    assert differences(record(0), newer) == [
        "bundle: not told before, b.edge after, which differ in what they hold"
    ]


def test_a_verdict_by_hand():
    row = Comparison("x", 1.0, 2.0, 1.5, 2.5, 1)
    assert (row.ratio, row.verdict) == (2.0, "better")
    assert replace(row, better=-1).verdict == "worse"
    assert replace(row, low=0.9).verdict == "not told apart"
