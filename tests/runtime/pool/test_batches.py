# SPDX-License-Identifier: Apache-2.0
"""A batch cut into runs, and its results joined."""

from __future__ import annotations

import threading
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
from tests.runtime.pool.stubs import SIZES, Stub, pool_of, rows, until
from tests.support.bundles import Draft, node, relu_draft, spec


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
            cut(rows, [sizes], rates)
        return
    parts = cut(rows, [sizes], rates)
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
            cut(rows, [sizes], rates)
        return
    parts = cut(rows, [sizes], rates)
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


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, [1]), (2, [1, 1]), (3, [1, 1, 1]), (4, [4]), (8, [8]), (9, [5, 4]), (12, [8, 4])],
)
def test_runs_are_of_sizes_that_a_profile_takes(
    tmp_path: Path, count: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = relu_draft(["n", 4], {"n": Range(1, 4, 8)})
    draft.profiles = [{"n": Range(1, 1, 1)}, {"n": Range(4, 8, 8)}]
    lengths: list[int] = []
    run = Session.run

    def counted(session: Session, inputs: Any, **more: Any) -> Any:
        lengths.append(len(inputs["x"]))
        return run(session, inputs, **more)

    monkeypatch.setattr(Session, "run", counted)
    path = draft.write(tmp_path / "m.edge")
    with edge_trt_runtime.load_pool(path, lanes=[Lane(rate=2.0), Lane(rate=1.0)]) as pool:
        x = rows(count)
        np.testing.assert_array_equal(pool.run_batch({"x": x})["output"], np.maximum(x, 0))
    assert sorted(lengths, reverse=True) == expected


def test_batches_that_are_no_inputs(open_batch: Pool) -> None:
    """What a run would refuse is refused in its words."""
    for inputs in ({"y": rows(4)}, {"x": rows(0)}, {"x": np.float32(1)}, {"x": rows(40)[:, :3]}):
        with pytest.raises(InputError, match="input"):
            open_batch.run_batch(inputs)  # type: ignore[arg-type]
    whole: Any = SimpleNamespace(shape=(20, 4))
    with pytest.raises(InputError, match="'x' is a SimpleNamespace, which gives no rows"):
        open_batch.run_batch({"x": whole})
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


def test_a_batch_that_is_not_done_when_the_pool_is_closed() -> None:
    go, begun = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def work(inputs: Any) -> Any:
        begun.set()
        assert go.wait(20)
        return inputs

    def ask() -> None:
        try:
            pool.run_batch({"x": rows(8)})
        except BaseException as error:
            errors.append(error)

    signature = relu_draft([2, 4]).manifest().signature
    pool = pool_of(Stub(work), signature=signature)
    callers = [threading.Thread(target=call) for call in (ask, pool.close)]
    callers[0].start()
    assert begun.wait(20)
    callers[1].start()
    until(lambda: not pool.lanes)
    go.set()
    for caller in callers:
        caller.join(20)
    (error,) = errors
    assert isinstance(error, EngineError)
    assert "the pool on /m.edge is closed" in str(error)


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
