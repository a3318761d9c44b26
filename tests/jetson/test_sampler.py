# SPDX-License-Identifier: Apache-2.0
"""The thread that samples: rate, ring, stop, failures, cost."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from edge_trt_jetson.telemetry.sample import Sample
from edge_trt_jetson.telemetry.sampler import FASTEST, Sampler
from tests.jetson.telemetry_trees import machine, plant


def wait_for(condition, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def test_samples_a_board(tmp_path: Path) -> None:
    orin = machine("agx orin, R36")
    plant(orin, tmp_path)
    with Sampler(FASTEST, root=tmp_path) as sampler:
        start = time.monotonic()
        wait_for(lambda: len(sampler.samples()) >= 8)
        end = time.monotonic()
    found = sampler.energy(start, end)
    assert found.watts == pytest.approx(orin.watts)
    assert found.sampling == pytest.approx(0.0, abs=1e-9)
    assert found.sensor is not None
    assert found.sensor > 0
    assert sampler.energy(start, end, "VDD_CPU_CV").watts == pytest.approx(19.112 * 0.084)
    assert 0 < sampler.overhead < 0.5
    assert not [t for t in threading.enumerate() if t.name == "edge_trt-telemetry"]


def test_marks_are_exact_ends(tmp_path: Path) -> None:
    """Between two marks nothing is missing, however rare the samples are."""
    orin = machine("agx orin, R36")
    with Sampler(3600.0, root=plant(orin, tmp_path)) as sampler:
        start = sampler.mark()
        time.sleep(0.02)
        end = sampler.mark()
        found = sampler.energy(start, end)
    assert found.missing == 0.0
    assert found.seconds == end - start
    assert found.watts == pytest.approx(orin.watts)
    assert found.samples == 2


def test_looks_of_two_threads_do_not_mix() -> None:
    running: list[int] = []

    def alone() -> Sample:
        running.append(1)
        time.sleep(0.005)
        assert len(running) == 1
        running.pop()
        return Sample(time.monotonic())

    with Sampler(FASTEST, read=alone) as sampler:
        for _ in range(10):
            sampler.mark()
    times = [sample.time for sample in sampler.samples()]
    assert times == sorted(times)


def test_ring_keeps_the_last() -> None:
    count = iter(range(1000))
    with Sampler(FASTEST, keep=3, read=lambda: Sample(float(next(count)))) as sampler:
        wait_for(lambda: (sampler.latest() or Sample(0)).time >= 6)
    times = [sample.time for sample in sampler.samples()]
    assert len(times) == 3
    assert times[0] >= 4
    assert times == sorted(times)


def test_slow_reads_are_not_made_up_for() -> None:
    """A read that takes five intervals leaves four samples out, and no burst follows."""
    starts: list[float] = []

    def slow_once() -> Sample:
        starts.append(time.monotonic())
        if len(starts) == 2:
            time.sleep(0.1)
        return Sample(starts[-1])

    with Sampler(0.02, read=slow_once) as sampler:
        wait_for(lambda: len(starts) >= 5)
    assert sampler.skipped >= 4
    assert all(b - a > 0.005 for a, b in pairwise(starts[:-1]))  # the last one is of `stop`


def test_failure_is_raised_at_the_end() -> None:
    calls: list[int] = []

    def failing() -> Sample:
        calls.append(1)
        if len(calls) > 2:
            raise RuntimeError("the sensor is on fire")
        return Sample(0.0)

    sampler = Sampler(FASTEST, read=failing).start()
    wait_for(lambda: len(calls) > 2)
    with pytest.raises(RuntimeError, match="on fire"):
        sampler.stop()
    assert len(sampler.samples()) == 2


def test_stop_ends_a_long_wait_with_a_last_sample() -> None:
    start = time.monotonic()
    with Sampler(3600.0, read=lambda: Sample(time.monotonic())) as sampler:
        pass
    assert time.monotonic() - start < 1.0
    assert len(sampler.samples()) == 2  # the first and the last


def test_cost_is_the_threads_own_cpu_time() -> None:
    def busy() -> Sample:
        end = time.thread_time() + 0.004
        while time.thread_time() < end:
            pass
        return Sample(time.monotonic())

    with Sampler(0.02, read=busy) as sampler:
        wait_for(lambda: len(sampler.samples()) >= 10)
    assert 0.05 < sampler.overhead < 0.6  # 4 ms of every 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"interval": 0.001}, "shorter than 0.01 s"),
        ({"interval": float("nan")}, "shorter than"),
        ({"keep": 1}, "at least 2"),
    ],
)
def test_bad_arguments(arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sampler(**arguments, read=lambda: Sample(0.0))


def test_stopped_sampler_is_over() -> None:
    sampler = Sampler(read=lambda: Sample(0.0))
    assert sampler.latest() is None
    sampler.start().start()
    sampler.stop()
    sampler.stop()
    with pytest.raises(ValueError, match="make a new one"):
        sampler.start()
