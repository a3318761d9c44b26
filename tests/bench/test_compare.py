# SPDX-License-Identifier: Apache-2.0
"""Confidence intervals that hold what they promise, on made-up measurements."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from edge_trt.bench.compare import Comparison, compare, differences
from edge_trt.bench.record import Block, Energy, Load, Record, Repeat, Summary

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


SINGLE = "differs (one session of each)"


def repeated(seed: int, level: float = 10.0, sessions: int = 5, between: float = 0.0) -> Record:
    """A record of sessions that differ by more than what moves within them."""
    draw = random.Random(seed)
    first, *rest = (
        record(seed * 100 + 2 * i, level * math.exp(draw.gauss(0, between)))
        for i in range(sessions)
    )
    repeats = [Repeat(other.single, other.saturated) for other in rest]
    return msgspec.structs.replace(first, repeats=repeats)


def test_what_differs_between_sessions_is_in_their_interval():
    """The same bundle twice, on a machine whose sessions differ by 8 %: seldom told apart."""
    pairs = [(repeated(i, between=0.08), repeated(i + 500, between=0.08)) for i in range(60)]
    kept = sum(latency(a, b).verdict == "not told apart" for a, b in pairs)
    assert kept >= 54  # of 60
    # One session of each has too narrow an interval, and so no verdict.
    cut = [[msgspec.structs.replace(r, repeats=[]) for r in pair] for pair in pairs]
    one = [latency(*pair).verdict for pair in cut]
    assert set(one) == {SINGLE, "not told apart"}
    assert one.count(SINGLE) > 30


@pytest.mark.parametrize(("level", "verdict"), [(8.0, "better"), (12.5, "worse")])
def test_sessions_tell_what_is_better(level: float, verdict: str):
    rows = [row for i in range(5) for row in
            compare(repeated(i, between=0.02), repeated(i + 500, level, between=0.02))]  # fmt: skip
    told = {row.verdict for row in rows if "energy" not in row.name}
    assert told == {verdict}
    assert all(row.low < row.ratio < row.high for row in rows if "energy" not in row.name)


def test_an_interval_of_sessions_by_hand():
    """Latencies of e^0, e^2 and e^3, e^5: means 1 and 4, variances 2, 2 degrees of freedom."""

    def session(latency: float) -> Repeat:
        made = Load(1, 1, 1.0, ZERO, [Block(1, 1.0, latency)])
        return Repeat(made, made)

    def made(*latencies: float) -> Record:
        first, *rest = map(session, latencies)
        return record(0, single=first.single, saturated=first.saturated, repeats=rest)

    row = latency(made(1, math.exp(2)), made(math.exp(3), math.exp(5)))
    assert (row.before, row.after) == pytest.approx((math.e, math.exp(4)))
    reach = 4.303 * math.sqrt(2 / 2 + 2 / 2)
    assert (row.low, row.high) == pytest.approx((math.exp(3 - reach), math.exp(3 + reach)))
    same = latency(made(1, 1), made(1, 1))
    assert (same.low, same.high, same.verdict) == (1, 1, "not told apart")


@pytest.mark.parametrize(
    ("doubt", "verdict"),
    [
        ("other programs kept the processor busy (45%)", "differs (in doubt)"),
        ("throttled while it ran: the GPU is too hot", "differs (in doubt)"),
        ("the clocks move with the load: --lock-clocks (as root) holds them", "differs (in doubt)"),
        ("unsteady with one caller: blocks of runs differ by 6.7%", "better"),  # in the interval
    ],
)
def test_what_moved_all_figures_leaves_no_verdict(doubt: str, verdict: str):
    slow, fast = repeated(0), repeated(500, 8.0)
    assert latency(slow, fast).verdict == "better"
    for before, after in ((doubtful(slow, doubt), fast), (slow, doubtful(fast, doubt))):
        assert latency(before, after).verdict == verdict


def doubtful(found: Record, doubt: str) -> Record:
    return msgspec.structs.replace(found, doubts=[doubt])


@pytest.mark.parametrize("level", [9.0, 11.0])
def test_a_tenth_is_told(level: float):
    for i in range(0, 10, 2):
        row = latency(record(i), record(i + 1000, level))
        assert row.verdict == SINGLE
        assert row.low < level / 10 < row.high or abs(row.ratio - level / 10) < 0.03
        throughput = compare(record(i), record(i + 1000, level))[1]
        assert (throughput.name, throughput.verdict) == ("throughput, one caller [1/s]", SINGLE)


def test_the_same_records_give_the_same_interval():
    assert compare(record(1), record(2)) == compare(record(1), record(2))


def test_energy():
    rows = [row for row in compare(record(0), record(1, joules=0.9)) if "energy" in row.name]
    assert [row.verdict for row in rows] == [SINGLE] * 2
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
    assert replace(row, doubt="why not").verdict == "differs (why not)"
    assert replace(row, low=0.9, doubt="why not").verdict == "not told apart"
