# SPDX-License-Identifier: Apache-2.0
"""Energy by the trapezoid rule, and whether its uncertainty tells the truth."""

from __future__ import annotations

import math
import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_trt_jetson.telemetry.energy import Point, energy, integrate
from edge_trt_jetson.telemetry.sample import Rail, Sample


def points(watts: list[float], interval: float = 0.1, step: float = 0.0) -> list[Point]:
    return [Point(i * interval, w, step) for i, w in enumerate(watts)]


def test_steady_power() -> None:
    found = integrate(points([5.0] * 11))
    assert found.joules == pytest.approx(5.0)
    assert (found.seconds, found.missing, found.samples) == (pytest.approx(1.0), 0.0, 11)
    assert found.sampling == pytest.approx(0.0)
    assert found.watts == pytest.approx(5.0)


def test_ramp_is_exact_and_certain() -> None:
    found = integrate(points([2.0 * i for i in range(11)]))
    assert found.joules == pytest.approx(10.0)
    assert found.sampling == pytest.approx(0.0)


def test_window_is_interpolated_at_its_ends() -> None:
    ramp = points([float(i) for i in range(11)], interval=1.0)
    found = integrate(ramp, 2.5, 4.25)
    assert found.joules == pytest.approx((4.25**2 - 2.5**2) / 2)
    assert found.seconds == pytest.approx(1.75)
    assert found.samples == 2
    within_one_interval = integrate(ramp, 2.25, 2.5)
    assert within_one_interval.joules == pytest.approx((2.5**2 - 2.25**2) / 2)
    assert within_one_interval.samples == 0


@given(
    st.lists(st.floats(0, 100), min_size=3, max_size=30),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_parts_add_up(watts: list[float], a: float, b: float, c: float) -> None:
    whole = points(watts)
    begin, middle, end = sorted(x * whole[-1].time for x in (a, b, c))
    left, right = integrate(whole, begin, middle), integrate(whole, middle, end)
    both = integrate(whole, begin, end)
    assert left.joules + right.joules == pytest.approx(both.joules, abs=1e-9)
    assert left.seconds + right.seconds == pytest.approx(end - begin, abs=1e-9)


def test_gap_is_left_out_and_told() -> None:
    series = points([5.0] * 10) + [Point(5.0 + i / 10, 5.0) for i in range(10)]
    found = integrate(series, -1.0, 6.0)
    assert found.seconds == pytest.approx(1.8)
    assert found.missing == pytest.approx(1.0 + 4.1 + 0.1)
    assert found.joules == pytest.approx(9.0)
    assert found.watts == pytest.approx(5.0)


def test_short_gap_is_bridged() -> None:
    series = points([5.0] * 20)
    del series[5:8]
    found = integrate(series)
    assert found.joules == pytest.approx(9.5)
    assert found.missing == 0.0


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_samples_have_no_uncertainty(count: int) -> None:
    found = integrate(points([5.0] * count))
    assert found.joules == pytest.approx(0.5 if count == 2 else 0.0)
    assert (found.watts is None) == (count < 2)
    assert count == 0 or math.isnan(found.uncertainty)


def test_no_samples_in_a_window_are_all_missing() -> None:
    assert integrate([], 1.0, 3.0).missing == 2.0
    assert integrate(points([5.0] * 5), 10.0, 12.0).missing == pytest.approx(2.0)


def bursts(period: float, on: float):
    """Power of 30 W for `on` seconds of every `period`, else 8 W; and its integral from 0."""
    return (
        lambda t: 30.0 if t % period < on else 8.0,
        lambda t: 8.0 * t + 22.0 * (t // period * on + min(t % period, on)),
    )


def noise(slot: float):
    """Power of 30 or 8 W, drawn anew every `slot` seconds; and its integral from 0."""
    chance = random.Random(3)
    drawn = [chance.choice((8.0, 30.0)) for _ in range(round(40 / slot))]
    sums = [0.0, *accumulate(watts * slot for watts in drawn)]
    return (
        lambda t: drawn[int(t / slot)],
        lambda t: sums[int(t / slot)] + t % slot * drawn[int(t / slot)],
    )


@pytest.mark.parametrize(
    ("signal", "bound"),
    [
        pytest.param(bursts(0.09, 0.04), 0.05, id="short bursts"),
        pytest.param(bursts(2.0, 0.9), 0.05, id="long bursts"),
        pytest.param(noise(0.01), 0.12, id="noise"),
        pytest.param(
            (lambda t: 20 + 10 * math.sin(t), lambda t: 20 * t - 10 * math.cos(t)), 0.001, id="slow"
        ),
    ],
)
def test_uncertainty_covers_the_error(signal, bound: float) -> None:
    """Of 100 measurements with random begins, nine tenths are within two uncertainties."""
    power, integral = signal
    chance = random.Random(7)
    inside = 0
    for _ in range(100):
        start = chance.uniform(1, 30)
        times = [start + i * 0.1 + chance.uniform(-0.002, 0.002) for i in range(61)]
        found = integrate([Point(t, power(t)) for t in times])
        error = found.joules - (integral(times[-1]) - integral(times[0]))
        inside += abs(error) <= 2 * found.sampling
        assert found.sampling < bound * found.joules
    assert inside >= 90


def test_resolution_is_not_averaged_away() -> None:
    """A steady power between two steps is misread alike in every sample."""
    found = integrate(points([5.0] * 101, step=0.8))
    assert found.resolution == pytest.approx(0.8 * 10 / math.sqrt(12))
    assert found.uncertainty == pytest.approx(found.resolution)


def test_steps_and_limits_of_a_rail() -> None:
    """INA3221 over 5 milliohms: steps of 8 mA and 8 mV, offsets of 16 mA and 16 mV, two gains."""
    rail = Rail("VDD_IN", 10.0, 5.0, 2.0, 0.005)
    assert rail.step == pytest.approx(math.hypot(5.0 * 0.008, 2.0 * 0.008))
    assert rail.limit == pytest.approx(10.0 * 0.005 + 5.0 * 0.016 + 2.0 * 0.016)
    printed = Rail("VDD_IN", 10.0)
    assert (printed.step, printed.limit) == (0.001, None)


def samples(*watts: float | None) -> list[Sample]:
    parts = [() if w is None else (Rail("A", w, 5.0, w / 5, 0.005), Rail("B", 1.0)) for w in watts]
    return [
        Sample(i / 10, rails=part, watts=None if w is None else w + 1.0, watts_of=("A", "B"))
        for i, (w, part) in enumerate(zip(watts, parts, strict=True))
    ]


def test_energy_of_board_and_rail() -> None:
    series = samples(4.0, 4.0, None, 4.0, 4.0)
    board, rail = energy(series), energy(series, "A")
    assert board.joules == pytest.approx(5.0 * 0.4)
    assert rail.joules == pytest.approx(4.0 * 0.4)
    assert board.samples == rail.samples == 4
    assert board.sensor is None  # B's shunt is unknown
    assert rail.sensor == pytest.approx((4.0 * 0.005 + 5.0 * 0.016 + 0.8 * 0.016) * 0.4)
    assert energy(series, "C").samples == 0
    assert str(rail).startswith("1.600 J +- ")
