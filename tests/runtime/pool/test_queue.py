# SPDX-License-Identifier: Apache-2.0
"""Which lane takes which run, failing lanes, closing, observers."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import pytest

from edge_trt_runtime import EngineError, InputError, Pool
from tests.runtime.pool.stubs import Stub, pool_of, rows, until


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ((2.0, 5.0), ["fast", "fast", "slow", "slow"]),
        ((2.0, 3.0), ["fast", "slow", "fast", "slow"]),
    ],
)
def test_the_lane_that_is_done_first_takes_a_run(
    rates: tuple[float, ...], expected: list[str]
) -> None:
    """Of idle ones the fastest; a second run in it while that is still sooner."""
    go, order = threading.Event(), list[str]()

    def work(name: str) -> Callable[[Any], Any]:
        def run(_: Any) -> Any:
            order.append(name)
            assert go.wait(20)
            return {}

        return run

    with pool_of(Stub(work("slow")), Stub(work("fast")), rates=rates, room=2) as pool:
        runs: list[Any] = []
        for count in range(1, 5):
            runs.append(pool.submit({}))
            until(lambda count=count: len(order) == count)
        assert order == expected
        go.set()
        for run in runs:
            run.result()
        assert [lane.runs for lane in pool.lanes] == [2, 2]


def test_who_waits_longest_is_next() -> None:
    """Also if the thread that gives a lane back asks for it at once."""
    go, order = threading.Event(), list[int]()

    def work(inputs: Any) -> Any:
        order.append(inputs)
        if len(order) == 1:
            assert go.wait(20)
        return {}

    def twice() -> None:
        pool.run(0)  # type: ignore[arg-type]
        pool.run(9)  # type: ignore[arg-type]

    with pool_of(Stub(work)) as pool:
        threads = [threading.Thread(target=twice)]
        threads[0].start()
        until(lambda: len(order) == 1)
        waiting: Any = pool._queue._waiting  # pyright: ignore[reportPrivateUsage]
        for number in range(1, 4):
            threads.append(threading.Thread(target=pool.run, args=(number,)))
            threads[-1].start()
            until(lambda number=number: len(waiting) == number)
        go.set()
        for thread in threads:
            thread.join(20)
    assert order == [0, 1, 2, 3, 9]


def test_a_lane_that_fails_loses_nothing() -> None:
    """Each error goes to who asked, and the lane takes the next run."""

    def work(inputs: Any) -> Any:
        if inputs["x"] % 3 == 0:
            raise EngineError(f"no {inputs['x']}")
        return {"y": inputs["x"]}

    with pool_of(Stub(work), Stub(work)) as pool:
        runs = [pool.submit({"x": x}) for x in range(60)]  # type: ignore[dict-item]
        for x, run in enumerate(runs):
            if x % 3:
                assert run.result() == {"y": x}
            else:
                with pytest.raises(EngineError, match=f"^no {x}$"):
                    run.result()
        assert sum(lane.runs for lane in pool.lanes) == 40


def test_a_lane_that_hangs_takes_no_more() -> None:
    def fine(_: Any) -> Any:
        return {"y": 1}

    def refuse(_: Any) -> Any:
        raise EngineError("a run did not end in time")

    bad, good = Stub(refuse), Stub(fine)
    with pool_of(bad, good, rates=(9.0, 1.0)) as pool:
        bad.broken = "segment 'main' hangs"
        assert [pool.run({})["y"] for _ in range(5)] == [1] * 5
        assert not pool.broken
        assert [lane.broken for lane in pool.lanes] == ["segment 'main' hangs", ""]
        good.broken, good.work = "this one too", refuse
        assert pool.broken == "segment 'main' hangs"
        with pytest.raises(EngineError, match="did not end in time"):
            pool.run({})


def test_closing_while_it_is_busy() -> None:
    """What runs ends, who waits for a lane gets an error, and what has not begun is cancelled."""
    go, begun = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def work(_: Any) -> Any:
        begun.set()
        assert go.wait(20)
        return {"y": 1}

    def ask() -> None:
        try:
            pool.run({})
        except EngineError as error:
            errors.append(error)

    session = Stub(work)
    pool = pool_of(session)
    running, later = pool.submit({}), pool.submit({})
    assert begun.wait(20)
    caller = threading.Thread(target=ask)
    caller.start()
    waiting: Any = pool._queue._waiting  # pyright: ignore[reportPrivateUsage]
    until(lambda: bool(waiting))
    closer = threading.Thread(target=pool.close)
    closer.start()
    caller.join(20)
    assert "is closed" in str(errors[0])
    assert not session.closed
    go.set()
    closer.join(20)
    assert running.result() == {"y": 1}
    with pytest.raises((CancelledError, EngineError)):
        later.result()
    assert session.closed


@pytest.mark.parametrize("before", [1, 3])
def test_as_many_submitted_runs_at_once_as_the_lanes_of_the_bundle_now(before: int) -> None:
    go, begun = threading.Event(), threading.Semaphore(0)

    def work(_: Any) -> Any:
        begun.release()
        assert go.wait(20)
        return {}

    old, new = [[Stub(work) for _ in range(count)] for count in (before, 2)]
    with pool_of(*old, fresh=new) as pool:
        runs = [pool.submit({})]
        assert begun.acquire(timeout=20)
        pool.reload()
        assert all(stub.closed for stub in old)
        runs += [pool.submit({}) for _ in range(3)]
        assert all(begun.acquire(timeout=20) for _ in range(2))
        assert not begun.acquire(timeout=0.1)
        go.set()
        assert [run.result(20) for run in runs] == [{}] * 4
        assert sum(lane.runs for lane in pool.lanes) == 3


def test_a_forked_child_has_all_lanes() -> None:
    """Who had them, or waited for one, is a thread of the parent."""
    go, begun = threading.Event(), threading.Event()

    def work(inputs: Any) -> Any:
        if inputs == "parent":
            begun.set()
            assert go.wait(20)
        return {}

    with pool_of(Stub(work)) as pool:
        read, write = os.pipe()
        runs = [pool.submit("parent")]  # type: ignore[arg-type]
        assert begun.wait(20)
        callers = [threading.Thread(target=pool.run, args=({},)) for _ in range(2)]
        for caller in callers:
            caller.start()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python, that other threads are there
            child = os.fork()
        if not child:
            try:
                for _ in range(2):
                    pool.submit({}).result(2)
                pool.close()
                os.write(write, b"well")
            finally:
                os._exit(0)
        os.close(write)
        assert os.read(read, 100) == b"well"
        os.close(read)
        os.waitpid(child, 0)
        go.set()
        for caller in callers:
            caller.join(20)
        assert runs[0].result(20) == {}
        assert [lane.runs for lane in pool.lanes] == [3]


def test_observers_see_every_run(fixed_batch: Pool) -> None:
    seen: list[tuple[float, BaseException | None]] = []
    fixed_batch.observe(lambda seconds, error: seen.append((seconds, error)))
    fixed_batch.run({"x": rows(2)})
    fixed_batch.run_batch({"x": rows(6)})
    fixed_batch.submit({"x": rows(2)}).result()
    with pytest.raises(InputError):
        fixed_batch.run({"x": rows(3)})
    fixed_batch._observers = ()  # pyright: ignore[reportPrivateUsage]
    assert [error is None for _, error in seen] == [True] * 5 + [False]
