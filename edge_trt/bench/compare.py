# SPDX-License-Identifier: Apache-2.0
"""Two measurements side by side: ratios with 95 % confidence intervals.

Runs that follow each other are alike, so intervals by single runs would be far too narrow. Blocks
of consecutive runs are resampled instead (a bootstrap over blocks): of each record as many blocks
as it has, with replacement, 4,000 times; the interval holds the middle 95 % of the ratios. That
covers what moves within the minutes of a measurement. What differs from one start of a board to the
next only several records of each can tell.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_trt.bench.record import Block, Load, Record

RESAMPLES = 4000
LEVEL = 0.95
NORMAL = 1.96


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
    """

    name: str
    before: float
    after: float
    low: float
    high: float
    better: int

    @property
    def ratio(self) -> float:
        """After / before."""
        return self.after / self.before

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or `not told apart` where the interval holds 1."""
        if self.low <= 1 <= self.high:
            return "not told apart"
        return "better" if (self.low > 1) == (self.better > 0) else "worse"


def compare(before: Record, after: Record) -> list[Comparison]:
    """Latency, throughput and energy of two records."""
    pairs = [
        ("one caller", before.single, after.single),
        ("saturated", before.saturated, after.saturated),
    ]
    rows: list[Comparison] = []
    for name, a, b in pairs:
        rows.append(_resampled(f"median latency, {name} [ms]", a, b, _latency, -1))
        rows.append(_resampled(f"throughput, {name} [1/s]", a, b, _throughput, 1))
        rows += _energies(f"energy per run, {name} [J]", a, b)
    if before.lanes is not None and after.lanes is not None:
        there = {lane.name: lane for lane in before.lanes.each}
        for lane in after.lanes.each:
            if lane.name in there:
                old = there[lane.name].alone
                name = f"throughput, {lane.name} alone [1/s]"
                rows.append(_resampled(name, old, lane.alone, _throughput, 1))
        rows += together("all lanes", before.lanes.total, after.lanes.total)
    return rows


def together(name: str, before: Load, after: Load) -> list[Comparison]:
    """Throughput and energy of what ran side by side."""
    rows = [_resampled(f"throughput, {name} [1/s]", before, after, _throughput, 1)]
    return rows + _energies(f"energy per run, {name} [J]", before, after)


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


def _resampled(
    name: str, a: Load, b: Load, figure: Callable[[Sequence[Block]], float], better: int
) -> Comparison:
    draw = random.Random(0)  # the same records give the same interval
    ratios = sorted(
        figure(draw.choices(b.blocks, k=len(b.blocks)))
        / figure(draw.choices(a.blocks, k=len(a.blocks)))
        for _ in range(RESAMPLES)
    )
    tail = int((1 - LEVEL) / 2 * RESAMPLES)
    return Comparison(
        name, figure(a.blocks), figure(b.blocks), ratios[tail], ratios[-tail - 1], better
    )


def _energies(name: str, a: Load, b: Load) -> list[Comparison]:
    if a.energy is None or b.energy is None or not a.energy.joules:
        return []
    ratio = b.energy.joules / a.energy.joules
    low, high = 0.0, math.inf
    if a.energy.uncertainty is not None and b.energy.uncertainty is not None:
        spread = NORMAL * math.hypot(
            a.energy.uncertainty / a.energy.joules, b.energy.uncertainty / b.energy.joules
        )
        low, high = ratio * (1 - spread), ratio * (1 + spread)
    return [Comparison(name, a.energy.joules, b.energy.joules, low, high, -1)]
