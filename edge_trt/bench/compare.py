# SPDX-License-Identifier: Apache-2.0
"""Two measurements side by side: ratios with 95 % confidence intervals.

Where both records hold several sessions (`bench --repeat`), a session is one observation: intervals
are those of Welch's t on the logarithms, and what they leave out is called better or worse.

With one session, blocks of consecutive runs are resampled (a bootstrap over blocks; runs that
follow each other are alike, so single ones would make it far too narrow): of each record as many
blocks as it has, with replacement, 4,000 times; the interval holds the middle 95 % of the ratios.
That covers what moves within a session, and not how much sessions differ: what it leaves out
"differs", and is called neither better nor worse. Nor is it where clocks, heat or other programs
had a part.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import mean, variance

from edge_trt.bench.machine import disturbed
from edge_trt.bench.record import Block, Load, Record

RESAMPLES = 4000
LEVEL = 0.95
NORMAL = 1.96
STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
)  # fmt: skip
"""What 95 % lie within, of t with 1, 2, ... degrees of freedom; with more, the last."""
ONE_EACH, DISTURBED = "one session of each", "in doubt"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of two records.

    Attributes:
        name: what it is, with its unit.
        before: of the first.
        after: of the second.
        low: lower end of the interval of after / before.
        high: its upper end.
        better: whether less is better (-1) or more (+1).
        doubt: why it is not called better or worse where it differs; empty otherwise.
    """

    name: str
    before: float
    after: float
    low: float
    high: float
    better: int
    doubt: str = ""

    @property
    def ratio(self) -> float:
        """After / before."""
        return self.after / self.before

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `differs (why not)`, or `not told apart` if the interval holds 1."""
        if self.low <= 1 <= self.high:
            return "not told apart"
        if self.doubt:
            return f"differs ({self.doubt})"
        return "better" if (self.low > 1) == (self.better > 0) else "worse"


def compare(before: Record, after: Record) -> list[Comparison]:
    """Latency, throughput and energy of two records."""
    pairs = [
        ("one caller", *([one.single for one in r.sessions] for r in (before, after))),
        ("saturated", *([one.saturated for one in r.sessions] for r in (before, after))),
    ]
    rows: list[Comparison] = []
    for name, a, b in pairs:
        rows.append(_compared(f"median latency, {name} [ms]", a, b, _latency, -1))
        rows.append(_compared(f"throughput, {name} [1/s]", a, b, _throughput, 1))
        rows += _energies(f"energy per run, {name} [J]", a, b)
    if before.lanes is not None and after.lanes is not None:
        there = {lane.name: lane for lane in before.lanes.each}
        for lane in after.lanes.each:
            if lane.name in there:
                old = there[lane.name].alone
                name = f"throughput, {lane.name} alone [1/s]"
                rows.append(_compared(name, [old], [lane.alone], _throughput, 1))
        rows += together("all lanes", before.lanes.total, after.lanes.total)
    if disturbed(before) or disturbed(after):
        rows = [replace(row, doubt=row.doubt or DISTURBED) for row in rows]
    return rows


def together(name: str, before: Load, after: Load) -> list[Comparison]:
    """Throughput and energy of what ran side by side."""
    rows = [_compared(f"throughput, {name} [1/s]", [before], [after], _throughput, 1)]
    return rows + _energies(f"energy per run, {name} [J]", [before], [after])


def differences(before: Record, after: Record) -> list[str]:
    """What else is not the same, one sentence each."""
    found: list[str] = []
    if before.bundle.get("manifest") != after.bundle.get("manifest"):
        names = [record.bundle.get("path", "not told") for record in (before, after)]
        found.append(f"bundle: {names[0]} before, {names[1]} after, which differ in what they hold")
    names = [
        " and ".join(lane.name for lane in record.lanes.each) if record.lanes else "no lanes"
        for record in (before, after)
    ]
    if names[0] != names[1]:
        found.append(f"lanes: {names[0]} before, {names[1]} after")
    for title in ("machine", "conditions"):
        a, b = getattr(before, title), getattr(after, title)
        keys = [k for k in {**a, **b} if k not in ("temperature", "memory", "cpu load before")]
        found += [
            f"{key}: {a.get(key, 'not told')} before, {b.get(key, 'not told')} after"
            for key in keys
            if a.get(key) != b.get(key)
        ]
    return found


def _latency(blocks: Sequence[Block]) -> float:
    return sum(block.median for block in blocks) / len(blocks)


def _throughput(blocks: Sequence[Block]) -> float:
    return sum(block.runs for block in blocks) / sum(block.seconds for block in blocks)


def _compared(
    name: str,
    before: Sequence[Load],
    after: Sequence[Load],
    figure: Callable[[Sequence[Block]], float],
    better: int,
) -> Comparison:
    if min(len(before), len(after)) > 1:
        old, new = ([figure(load.blocks) for load in loads] for loads in (before, after))
        return _over_sessions(name, old, new, better)
    a, b = ([block for load in loads for block in load.blocks] for loads in (before, after))
    draw = random.Random(0)  # the same records give the same interval
    ratios = sorted(
        figure(draw.choices(b, k=len(b))) / figure(draw.choices(a, k=len(a)))
        for _ in range(RESAMPLES)
    )
    tail = int((1 - LEVEL) / 2 * RESAMPLES)
    return Comparison(name, figure(a), figure(b), ratios[tail], ratios[-tail - 1], better, ONE_EACH)


def _over_sessions(
    name: str, before: Sequence[float], after: Sequence[float], better: int
) -> Comparison:
    """Geometric means of sessions, and Welch's interval of their ratio."""
    a, b = ([math.log(value) for value in values] for values in (before, after))
    parts = [variance(logs) / len(logs) for logs in (a, b)]
    error = math.sqrt(sum(parts))
    weights = sum(p * p / (len(logs) - 1) for p, logs in zip(parts, (a, b), strict=True))
    freedom = int(sum(parts) ** 2 / weights) if weights else len(a) + len(b) - 2
    reach = STUDENT[min(max(freedom, 1), len(STUDENT)) - 1] * error
    middle = mean(b) - mean(a)
    ends = math.exp(middle - reach), math.exp(middle + reach)
    return Comparison(name, math.exp(mean(a)), math.exp(mean(b)), *ends, better)


def _energies(name: str, before: Sequence[Load], after: Sequence[Load]) -> list[Comparison]:
    a, b = ([load.energy for load in loads if load.energy] for loads in (before, after))
    if len(a) < len(before) or len(b) < len(after) or not all(e.joules > 0 for e in (*a, *b)):
        return []
    if min(len(a), len(b)) > 1:
        return [_over_sessions(name, [e.joules for e in a], [e.joules for e in b], -1)]
    old, new = a[0], b[0]
    ratio = new.joules / old.joules
    low, high = 0.0, math.inf
    if old.uncertainty is not None and new.uncertainty is not None:
        spread = NORMAL * math.hypot(old.uncertainty / old.joules, new.uncertainty / new.joules)
        low, high = ratio * (1 - spread), ratio * (1 + spread)
    return [Comparison(name, old.joules, new.joules, low, high, -1, ONE_EACH)]
