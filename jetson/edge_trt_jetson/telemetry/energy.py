# SPDX-License-Identifier: Apache-2.0
"""Energy of a stretch of samples, with its uncertainty.

The power between two samples is taken for a straight line (trapezoid rule)::

    E = sum over i of  (t[i+1] - t[i]) * (P[i] + P[i+1]) / 2

Three things make it uncertain, each in joules:

*Sampling*, a standard uncertainty: how much the power moves between two looks. Each inner sample is
compared with the straight line between its neighbours; that deviation d has 1.5 times the variance
of one sample if the power jumps about at random, and vanishes where the power is steady or moves
slowly. A sample stands for w seconds, half of the way to each neighbour; the first and the last
have no deviation, so the sum is scaled from their time to all of it. It takes three samples::

    u_sampling = sqrt(sum over i of (w[i] * d[i])^2 / 1.5  *  seconds / sum over i of w[i])

*Resolution*, a standard uncertainty: a reading is the nearest multiple of a step s. The rounding
error of a steady power is the same in every sample, so it is not averaged away::

    u_resolution = mean of s * seconds / sqrt(12)

*Sensor*, a limit: offset and gain of the INA3221 by its data sheet, where the shunt's resistance is
known; the shunt's own tolerance is published nowhere and is left out. It shifts all measurements on
one board alike, so it is kept apart from `uncertainty`, which is what two runs differ by.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from edge_trt_jetson.telemetry.sample import Rail, Sample

LONGEST_GAP = 5.0
"""A gap of more than so many usual intervals is not bridged: what happened in it is not known."""


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy of a stretch of time.

    Attributes:
        joules: The energy.
        seconds: Time that it was integrated over.
        missing: Seconds of the stretch that have no samples, and are not in `joules`.
        samples: Number of samples within.
        sampling: Standard uncertainty by looking now and then, in J; NaN with fewer than three
            samples.
        resolution: Standard uncertainty by rounding in the sensor, in J.
        sensor: Greatest error by the sensor's data sheet, in J; None if the shunt is unknown.
    """

    joules: float
    seconds: float
    missing: float
    samples: int
    sampling: float
    resolution: float
    sensor: float | None

    @property
    def uncertainty(self) -> float:
        """Standard uncertainty in J, of sampling and resolution."""
        return math.hypot(self.sampling, self.resolution)

    @property
    def watts(self) -> float | None:
        """Mean power in W; None if there was no time to integrate over."""
        return self.joules / self.seconds if self.seconds > 0 else None

    def __str__(self) -> str:
        return f"{self.joules:.3f} J +- {2 * self.uncertainty:.3f} J (k = 2)"


@dataclass(frozen=True, slots=True)
class Point:
    """Power at a time: seconds, W, step of the reading in W, limit of its error in W or None."""

    time: float
    watts: float
    step: float = 0.0
    limit: float | None = None


def energy(
    samples: Iterable[Sample],
    rail: str = "",
    start: float = -math.inf,
    end: float = math.inf,
) -> Energy:
    """Energy of the whole board, or of one rail.

    Args:
        samples: Samples in the order of their times; those without this power are left out.
        rail: Name of the rail; the whole board by default.
        start: Begin, in the samples' time; the power there is interpolated.
        end: End, likewise.
    """
    points = (_point(sample, rail) for sample in samples)
    return integrate([point for point in points if point is not None], start, end)


def integrate(points: Sequence[Point], start: float = -math.inf, end: float = math.inf) -> Energy:
    """Energy between two times, as the module's text says.

    Args:
        points: Powers in the order of their times.
        start: Begin; the first point's time if it is later.
        end: End; the last point's time if it is earlier.
    """
    if not points:
        missing = max(end - start, 0.0)
        return Energy(0.0, 0.0, missing if math.isfinite(missing) else 0.0, 0, 0.0, 0.0, None)
    first, last = points[0].time, points[-1].time
    outside = max(min(first, end) - start, 0.0) if math.isfinite(start) else 0.0
    outside += max(end - max(last, start), 0.0) if math.isfinite(end) else 0.0
    times = [point.time for point in points]
    longest = LONGEST_GAP * median(b - a for a, b in pairwise(times)) if len(times) > 1 else 0.0
    joules = seconds = missing = 0.0
    for a, b in pairwise(points):
        left, right = max(a.time, start), min(b.time, end)
        if right <= left:
            continue
        if b.time - a.time > longest:
            missing += right - left
            continue
        seconds += right - left
        joules += (right - left) * (_at(a, b, left) + _at(a, b, right)) / 2
    inside = points[bisect_left(times, start) : bisect_right(times, end)]
    steps = [point.step for point in inside or points]
    limits = [point.limit for point in inside or points]
    known = [limit for limit in limits if limit is not None]
    return Energy(
        joules,
        seconds,
        missing + outside,
        len(inside),
        _sampling(points, start, end, longest),
        sum(steps) / len(steps) * seconds / math.sqrt(12),
        sum(known) / len(known) * seconds if len(known) == len(limits) else None,
    )


def _sampling(points: Sequence[Point], start: float, end: float, longest: float) -> float:
    squares = weights = whole = 0.0
    for before, point, after in zip(points, points[1:], points[2:], strict=False):
        if max(point.time - before.time, after.time - point.time) > longest:
            continue
        left = max((before.time + point.time) / 2, start)
        weight = min((point.time + after.time) / 2, end) - left
        if weight <= 0:
            continue
        deviation = point.watts - _at(before, after, point.time)
        squares += (weight * deviation) ** 2 / 1.5
        weights += weight
    for a, b in pairwise(points):
        if b.time - a.time <= longest:
            whole += max(min(b.time, end) - max(a.time, start), 0.0)
    return math.sqrt(squares * whole / weights) if weights else math.nan


def _at(a: Point, b: Point, time: float) -> float:
    """Power on the straight line through two points."""
    if b.time <= a.time:
        return a.watts
    return a.watts + (b.watts - a.watts) * (time - a.time) / (b.time - a.time)


def _point(sample: Sample, rail: str) -> Point | None:
    if math.isnan(sample.time):
        return None
    if rail:
        found = sample.rail(rail)
        return None if found is None else Point(sample.time, found.watts, found.step, found.limit)
    if sample.watts is None:
        return None
    parts = [part for part in sample.rails if part.name in sample.watts_of]
    return Point(sample.time, sample.watts, math.hypot(*(p.step for p in parts)), _limit(parts))


def _limit(parts: Sequence[Rail]) -> float | None:
    # Sensors of one kind may err alike: their limits are added.
    limits = [part.limit for part in parts]
    known = [limit for limit in limits if limit is not None]
    return sum(known) if len(known) == len(limits) else None
