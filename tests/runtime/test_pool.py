# SPDX-License-Identifier: Apache-2.0
"""Several sessions of one bundle behind one call."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edge_trt_runtime
from edge_trt_runtime import EngineError, InputError, Lane, Pool, Session
from edge_trt_runtime.manifest import Range
from edge_trt_runtime.pool.batches import batch_sizes, cut
from edge_trt_runtime.pool.lanes import OpenLane
from tests.support.bundles import Draft, node, relu_draft, self_tested, spec

SIZES = Range(2, 4, 8, 2)
TWO = [Lane(rate=3.0), Lane(rate=1.0)]


@pytest.fixture(scope="module")
def open_batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    folder = tmp_path_factory.mktemp("pool")
    path = relu_draft(["n", 4], {"n": SIZES}).write(folder / "open.edge")
    with edge_trt_runtime.load_pool(path, lanes=TWO) as pool:
        yield pool


@pytest.fixture(scope="module")
def fixed_batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    path = relu_draft([2, 4]).write(tmp_path_factory.mktemp("pool") / "fixed.edge")
    with edge_trt_runtime.load_pool(path, lanes=TWO) as pool:
        yield pool


def rows(count: int) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, 4)).astype(np.float32)


class Stub:
    """A session whose runs take as long as the test says."""

    places: tuple[()] = ()
    memory = None

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.work = work
        self.broken = ""
        self.closed = False

    def run(self, inputs: Any, **_: object) -> Any:
        return self.work(inputs)

    def close(self) -> None:
        self.closed = True


def pool_of(
    *sessions: Any, rates: tuple[float, ...] = (), room: int = 1, signature: Any = None
) -> Pool:
    lanes = [
        OpenLane(str(number), 1, session, rates[number] if rates else 1.0, room)
        for number, session in enumerate(sessions)
    ]
    bundle: Any = SimpleNamespace(root="/m.edge", manifest=SimpleNamespace(signature=signature))
    return Pool(bundle, lanes, lambda *_: pytest.fail("nothing is reloaded"))


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.001)


# -- opening


def test_one_lane_where_there_is_nothing_else(tmp_path: Path) -> None:
    path = self_tested(tmp_path)
    with edge_trt_runtime.load_pool(path, device="cpu") as pool:
        (lane,) = pool.lanes
        assert (lane.name, lane.stream, lane.places, lane.runs) == ("cpu", 1, [], 0)
        assert all(result.passed for result in pool.self_test()["cpu"])
        x = np.array([[-1, 0, 1, 2]], np.float32)
        np.testing.assert_array_equal(pool.run({"x": x})["output"], [[0, 0, 1, 2]])
        assert pool.submit({"x": x}).result()["output"].shape == (1, 4)
        out = np.empty_like(x)
        assert pool.run({"x": x}, out={"output": out})["output"] is out
        assert pool.lanes[0].runs == 3  # without the recorded cases
        assert pool.memory is None
        assert not pool.broken
        assert pool.signature == lane.session.signature
    assert not pool.lanes
    pool.close()
    for call in (pool.run, pool.submit, pool.stream):
        with pytest.raises(EngineError, match=r"the pool on .*m\.edge is closed: load the bundle"):
            call({"x": x})
    with pytest.raises(EngineError, match="closed"):
        pool.reload()


def test_files_are_compared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = relu_draft().write(tmp_path / "m.edge")
    compared: Counter[str] = Counter()
    original = edge_trt_runtime.OpenBundle.verify

    def verify(bundle: edge_trt_runtime.OpenBundle) -> None:
        compared[bundle.root] += 1
        original(bundle)

    monkeypatch.setattr(edge_trt_runtime.OpenBundle, "verify", verify)
    with edge_trt_runtime.load_pool(path, lanes=TWO) as pool:
        assert [lane.name for lane in pool.lanes] == ["cpu", "cpu (2)"]
    assert [*compared.values()] == [1]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"lanes": []}, "lanes is empty: give one or more"),
        ({"lanes": [Lane(rate=0.0)]}, r"the rate of a lane is 0\.0: give a number above 0"),
        ({"lanes": [Lane(), Lane(stream=2)]}, "has no stream 2, its streams are 1: build it with"),
        ({"lanes": [Lane(stream=0)]}, "stream is 0: give 1 or more"),
        ({"lanes": [Lane(dla_core=2)]}, "dla_core is 2: give 0 or 1"),
        ({"dla_core": 0}, "dla_core is a matter of each lane"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"frames": 0}, "frames is 0"),
    ],
)
def test_options_that_are_wrong(tmp_path: Path, options: dict[str, Any], problem: str) -> None:
    path = relu_draft().write(tmp_path / "m.edge")
    with pytest.raises(EngineError, match=problem):
        edge_trt_runtime.load_pool(path, **options)


# -- who takes a run


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


# -- one after the other


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


# -- batches


@settings(max_examples=60, deadline=None)
@given(units=st.integers(1, 40))
def test_an_open_batch_is_split_and_joined(open_batch: Pool, units: int) -> None:
    x = rows(units * SIZES.step)
    before = sum(lane.runs for lane in open_batch.lanes)
    np.testing.assert_array_equal(open_batch.run_batch({"x": x})["output"], np.maximum(x, 0))
    runs = sum(lane.runs for lane in open_batch.lanes) - before
    assert runs == (1 if units <= 2 else 2 if units <= 5 else -(-units * SIZES.step // SIZES.max))


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 20))
def test_a_fixed_batch_is_repeated(fixed_batch: Pool, count: int) -> None:
    x = rows(count * 2)
    np.testing.assert_array_equal(fixed_batch.run_batch({"x": x})["output"], np.maximum(x, 0))


@given(
    st.integers(1, 200),
    st.integers(1, 6),
    st.integers(0, 5),
    st.integers(0, 5),
    st.lists(st.floats(0.01, 1000), min_size=1, max_size=5),
)
def test_runs_make_up_the_batch(
    rows: int, step: int, least: int, more: int, rates: list[float]
) -> None:
    """Every row once and in order, in runs of sizes that may be; refused only where none are."""
    sizes = Range(least * step, least * step, max(1, least + more) * step, step)
    units, rest = divmod(rows, step)
    smallest, most = max(1, least), max(1, least + more)
    can = rest == 0 and -(-units // most) * smallest <= units
    if not can:
        with pytest.raises(InputError, match=f"a batch of {rows} can't be cut into runs of "):
            cut(rows, sizes, rates)
        return
    parts = cut(rows, sizes, rates)
    covered = [row for part in parts for row in range(rows)[part.rows]]
    assert covered == [*range(rows)]
    lengths = [part.rows.stop - part.rows.start for part in parts]
    assert all(smallest * step <= n <= most * step and n % step == 0 for n in lengths)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (80, [(0, 60), (1, 15), (2, 5)]),
        (8, [(0, 6), (1, 2)]),  # the slowest would get less than a run needs
        (3, [(None, 3)]),
        (130, [(None, 65), (None, 65)]),
        (1, None),
    ],
)
def test_shares_are_in_the_ratio_of_rates(rows: int, expected: list[Any] | None) -> None:
    sizes, rates = Range(2, 4, 80), [12.0, 3.0, 1.0]
    if expected is None:
        with pytest.raises(InputError, match="a batch of 1 can't be cut into runs of 2 to 80: fil"):
            cut(rows, sizes, rates)
        return
    parts = cut(rows, sizes, rates)
    assert [(part.lane, part.rows.stop - part.rows.start) for part in parts] == expected


@pytest.mark.parametrize(
    ("inputs", "outputs", "problem"),
    [
        ([2, 4], [1, 4], "x: 2, output: 1"),
        (["n", 4], ["n*2", 4], r"x: n, output: n\*2"),
        (["n", "n"], ["n", 4], "x also further in: n"),
        (["n", 4], [], "x: n, output: a number"),
        (["?", 4], ["?", 4], r"x: \?, output: \?"),
    ],
)
def test_signatures_without_a_batch(
    inputs: list[int | str], outputs: list[int | str], problem: str
) -> None:
    draft = Draft([spec("x", inputs)], [spec("output", outputs)], {}, {"n": SIZES})
    with pytest.raises(EngineError, match=rf"a batch can't be split where .*\({problem}\): build"):
        batch_sizes(draft.manifest().signature)


def test_batches_that_are_no_inputs(open_batch: Pool) -> None:
    """What a run would refuse is refused in its words."""
    for inputs in ({"y": rows(4)}, {"x": rows(0)}, {"x": np.float32(1)}, {"x": rows(40)[:, :3]}):
        with pytest.raises(InputError, match="input"):
            open_batch.run_batch(inputs)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"a batch of 5 can't be cut .* in steps of 2: fill it up"):
        open_batch.run_batch({"x": rows(5)})


def test_a_batch_of_which_a_part_fails() -> None:
    """The error comes when no part reads the caller's arrays any more."""
    go, begun = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def fail(_: Any) -> Any:
        assert begun.wait(20)
        raise EngineError("out of memory")

    def work(_: Any) -> Any:
        begun.set()
        assert go.wait(20)
        return {}

    def ask() -> None:
        try:
            pool.run_batch({"x": rows(8)})
        except EngineError as error:
            errors.append(error)

    signature = relu_draft(["n", 4], {"n": SIZES}).manifest().signature
    with pool_of(Stub(fail), Stub(work), signature=signature) as pool:
        caller = threading.Thread(target=ask)
        caller.start()
        assert begun.wait(20)
        caller.join(0.1)
        assert caller.is_alive()
        go.set()
        caller.join(20)
    assert [str(error) for error in errors] == ["out of memory"]


def test_outputs_that_differ_in_more_than_the_batch(tmp_path: Path) -> None:
    draft = Draft(
        [spec("x", [1, 4])], [spec("y", [1, "?"])], {"y": "v"}, values=[spec("v", [1, "?"])]
    )
    draft.network(
        "main", ["x"], ["v"],
        [node("NonZero", "x", "i"), node("Cast", "i", "f", to=1), node("Slice", "f a b c", "v")],
        [_tensor("a", [0]), _tensor("b", [1]), _tensor("c", [0])],
    )  # fmt: skip
    with edge_trt_runtime.load_pool(draft.write(tmp_path / "m.edge"), device="cpu") as pool:
        x = np.array([[1, 0, 0, 1], [1, 1, 1, 1]], np.float32)
        with pytest.raises(EngineError, match=r"'y' of the runs .* rows of \[2\] and \[4\]"):
            pool.run_batch({"x": x})


def _tensor(name: str, values: list[int]) -> Any:
    from onnx import helper

    return helper.make_tensor(name, 7, [len(values)], values)


# -- another bundle


def test_reloading_while_it_runs(tmp_path: Path) -> None:
    """No run fails; the new bundle runs in all lanes, and a bad one changes nothing."""
    path = self_tested(tmp_path)
    other = relu_draft().write(tmp_path / "other.edge")
    (tmp_path / "bad").mkdir()
    bad = self_tested(tmp_path / "bad", error=1.0)
    stop, errors = threading.Event(), list[BaseException]()
    x = np.array([[-1, 0, 1, 2]], np.float32)

    def ask() -> None:
        try:
            while not stop.is_set():
                np.testing.assert_array_equal(pool.run({"x": x})["output"], np.maximum(x, 0))
        except BaseException as error:
            errors.append(error)

    with edge_trt_runtime.load_pool(path, lanes=TWO) as pool:
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        old = pool.lanes[0].session
        for _ in range(5):
            pool.reload(other)
            pool.reload(path)
        with pytest.raises(EngineError, match="fails its self-test here"):
            pool.reload(bad)
        wide = relu_draft([1, 5]).write(tmp_path / "wide.edge")
        with pytest.raises(EngineError, match="can't take the place"):
            pool.reload(wide)
        until(lambda: all(lane.runs for lane in pool.lanes))
        stop.set()
        for thread in threads:
            thread.join(20)
        assert not errors
        assert pool.bundle.root == str(path)
        with pytest.raises(EngineError, match="closed"):
            old.run({"x": x})


def test_sessions_are_closed_where_one_can_not_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = relu_draft().write(tmp_path / "m.edge")
    closed: list[Session] = []
    monkeypatch.setattr(Session, "close", lambda session: closed.append(session))
    with pytest.raises(EngineError, match="unknown device"):
        edge_trt_runtime.load_pool(path, lanes=[Lane(), Lane(device="tpu")])
    assert len(closed) == 1
