# SPDX-License-Identifier: Apache-2.0
"""Results one after the other: map and streams."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_trt_runtime import InputError, Pool
from tests.runtime.pool.stubs import Stub, pool_of, rows, until


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 0.003), max_size=25), st.integers(1, 6), st.integers(1, 3))
def test_results_come_in_the_order_of_inputs(times: list[float], ahead: int, lanes: int) -> None:
    """However long each run takes; and no more is read than may be."""
    read: list[int] = []

    def inputs() -> Iterator[Any]:
        for number, seconds in enumerate(times):
            read.append(number)
            yield {"number": number, "seconds": seconds}

    def work(inputs: Any) -> Any:
        time.sleep(inputs["seconds"])
        return {"number": inputs["number"]}

    with pool_of(*(Stub(work) for _ in range(lanes)), rates=(4.0, 2.0, 1.0)) as pool:
        for taken, outputs in enumerate(pool.map(inputs(), ahead=ahead)):
            assert outputs["number"] == taken
            assert len(read) <= taken + 1 + 2 * ahead + 1
    assert read == [*range(len(times))]


def test_an_error_comes_in_its_place(fixed_batch: Pool) -> None:
    inputs = [{"x": rows(2)}] * 3 + [{"x": rows(3)}] + [{"x": rows(2)}] * 3
    results = fixed_batch.map(inputs)
    assert [next(results)["output"].shape for _ in range(3)] == [(2, 4)] * 3
    with pytest.raises(InputError, match="x"):
        next(results)
    assert not [*results]


def test_leaving_a_map_ends_its_runs(fixed_batch: Pool) -> None:
    before = threading.active_count()
    for _ in fixed_batch.map({"x": rows(2)} for _ in range(1000)):
        break
    until(lambda: threading.active_count() <= before)
    assert fixed_batch.run({"x": rows(2)})["output"].shape == (2, 4)


def test_frames_of_a_camera(fixed_batch: Pool) -> None:
    with fixed_batch.stream([rows(2) for _ in range(9)]) as stream:
        assert [result.number for result in stream] == [*range(9)]


def test_how_far_a_map_runs_ahead() -> None:
    """Twice what all lanes take while the slowest is busy, in no more threads than can run."""
    stub = Stub(lambda _: {})
    for rates, expected in (((1.0,), 4), ((3.0, 1.0), 16), ((900.0, 1.0), 256)):
        with pool_of(*[stub] * len(rates), rates=rates, room=2) as pool:
            assert pool._ahead() == expected  # pyright: ignore[reportPrivateUsage]
            before = threading.active_count()
            results = pool.map({} for _ in range(1000))
            next(results)
            assert threading.active_count() - before <= 2 * len(rates) + 2
            assert len([*results]) == 999


def test_a_slow_lane_does_not_hold_up_the_others() -> None:
    """While it does one run, others do hundreds, although results are in order."""
    go, fast = threading.Event(), list[int]()

    def slow(_: Any) -> Any:
        assert go.wait(20)
        return {}

    def count(_: Any) -> Any:
        if len(fast) == 100:
            go.set()
        fast.append(1)
        return {}

    with pool_of(Stub(slow), Stub(count), rates=(1.0, 100.0)) as pool:
        assert len([*pool.map({} for _ in range(300))]) == 300
    assert len(fast) >= 101
