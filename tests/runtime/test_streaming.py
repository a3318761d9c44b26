# SPDX-License-Identifier: Apache-2.0
"""Streams: order, policies, deadlines, errors, and ends of every kind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edge_trt_runtime
from edge_trt_runtime import EngineError, InputError, Session
from edge_trt_runtime.streaming import POLICIES, Stream
from tests.support.bundles import Draft, node, relu_draft, spec

Outputs = dict[str, np.ndarray]


def numbers(count: int) -> list[np.ndarray]:
    return [np.full((1, 4), i, np.float32) for i in range(count)]


@pytest.fixture
def relu(tmp_path: Path) -> Iterator[Session]:
    with edge_trt_runtime.load(relu_draft().write(tmp_path / "relu.edge"), threads=1) as session:
        yield session


def stream_of(frames: Any, run: Callable[[Any], Outputs], **options: Any) -> Stream:
    chosen: dict[str, Any] = {"depth": 2, "policy": "block", "deadline": None, **options}
    return Stream(run, lambda frame: frame, frames, **chosen)


def collect(stream: Stream, found: list[int]) -> None:
    """Appends numbers of results as long as there are any."""
    found.extend(result.number for result in stream)


def quiet() -> bool:
    """Whether all threads of streams have ended."""
    for _ in range(500):
        if not any(t.name.startswith("edge_trt-stream") for t in threading.enumerate()):
            return True
        time.sleep(0.01)
    return False


@given(
    count=st.integers(0, 12), depth=st.integers(1, 4), delays=st.lists(st.floats(0, 0.003)),
    slow=st.floats(0, 0.002),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_every_frame_in_order(count: int, depth: int, delays: list[float], slow: float) -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def run(frame: int) -> Outputs:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(delays[frame % len(delays)] if delays else 0)
        with lock:
            running -= 1
        return {"y": np.array(frame)}

    found: list[int] = []
    stream = stream_of(range(count), run, depth=depth)
    for result in stream:
        time.sleep(slow)
        assert result.frame == result.number == int(result.outputs["y"])
        assert min(result.waited, result.prepared, result.ran) >= 0
        assert not result.late
        found.append(result.number)
    assert found == [*range(count)]
    assert stream.dropped == 0
    assert most <= depth
    assert list(stream) == []  # over is over
    assert quiet()


@pytest.mark.parametrize("policy", ["latest", "drop-oldest"])
def test_a_source_that_is_too_fast_has_frames_dropped(policy: str) -> None:
    release = threading.Event()

    def source() -> Iterator[int]:
        yield 0
        started.wait(5)
        yield from range(1, 10)
        release.set()

    started = threading.Event()

    def run(frame: int) -> Outputs:
        started.set()
        release.wait(5)
        return {}

    stream = stream_of(source(), run, depth=1, policy=policy)
    kept = [result.number for result in stream]
    assert kept == [0, 9]  # at depth 1 one waits, the newest
    assert stream.dropped == 8
    stream = stream_of(
        iter(range(10)), lambda frame: time.sleep(0.02) or {}, depth=3, policy=policy
    )
    kept = [result.number for result in stream]
    assert kept == sorted(set(kept))
    assert kept[-1] == 9
    assert len(kept) + stream.dropped == 10


def test_a_frame_in_the_place_of_another_wakes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    running, woken = threading.Event(), 0

    def source() -> Iterator[int]:
        yield 0
        running.wait(5)
        yield from range(1, 500)
        release.set()

    def run(frame: int) -> Outputs:
        running.set()
        release.wait(5)
        return {}

    def counted() -> None:
        nonlocal woken
        woken += 1
        notify()

    release = threading.Event()
    stream = stream_of(source(), run, depth=1, policy="latest")
    notify = stream._changed.notify_all
    monkeypatch.setattr(stream._changed, "notify_all", counted)
    assert [result.number for result in stream] == [0, 499]
    assert stream.dropped == 498
    assert woken < 20


def test_a_slow_reader_of_results_holds_back_the_source() -> None:
    read: list[int] = []

    def source() -> Iterator[int]:
        for i in range(100):
            read.append(i)
            yield i

    stream = stream_of(source(), lambda frame: {}, depth=2)
    next(stream)
    time.sleep(0.1)
    # one taken, two run, two wait, and one is in the hands of the reader
    assert len(read) <= 6
    stream.close()
    assert quiet()


def test_frames_past_the_deadline_are_dropped_and_late_results_marked() -> None:
    def run(frame: int) -> Outputs:
        time.sleep(0.08)
        return {}

    stream = stream_of(range(6), run, depth=1, deadline=0.05)
    results = list(stream)
    assert results[0].number == 0
    assert all(result.late for result in results)
    assert stream.dropped == 6 - len(results) > 0
    stream = stream_of(range(3), lambda frame: {}, deadline=5)
    assert [result.late for result in stream] == [False] * 3


def test_an_error_of_a_run_comes_in_its_place(relu: Session) -> None:
    frames: list[Any] = [*numbers(3), np.zeros((2, 4), np.float32), *numbers(3)]
    found: list[int] = []
    stream = relu.stream(frames, depth=3)
    with pytest.raises(InputError, match="x"):
        collect(stream, found)
    assert found == [0, 1, 2]
    assert list(stream) == []
    assert quiet()


def test_an_error_of_the_source_comes_after_its_frames(relu: Session) -> None:
    def source() -> Iterator[np.ndarray]:
        yield from numbers(3)
        raise OSError("the cable came off")

    found: list[int] = []
    with pytest.raises(OSError, match="cable"):
        collect(relu.stream(source()), found)
    assert found == [0, 1, 2]
    assert quiet()


def test_leaving_early_closes_the_source(relu: Session) -> None:
    closed = threading.Event()

    def camera() -> Iterator[np.ndarray]:
        try:
            while True:
                yield numbers(1)[0]
                time.sleep(0.001)
        finally:
            closed.set()

    with relu.stream(camera(), policy="latest") as stream:
        for result in stream:
            if result.number >= 3:
                break
    assert closed.wait(5)
    assert quiet()


def test_frames_may_be_inputs_arrays_or_anything_with_prepare(relu: Session) -> None:
    x = numbers(1)[0] + 1
    for frame in ({"x": x}, x, x[0]):  # the batch may be left out
        (result,) = relu.stream([frame])
        assert result.frame is frame
        np.testing.assert_array_equal(result.outputs["output"], x)
    (result,) = relu.stream(["5"], prepare=lambda text: {"x": np.full((1, 4), float(text), "f")})
    assert result.outputs["output"].sum() == 20
    assert result.frame == "5"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "depth is 0: give 1 or more"),
        ({"policy": "newest"}, "unknown policy 'newest'"),
        ({"policy": "lates"}, "did you mean 'latest'"),
        ({"deadline": 0}, "deadline is 0: give seconds above 0"),
        ({"deadline": float("nan")}, "deadline is nan: give seconds above 0"),
    ],
)
def test_bad_options(relu: Session, options: dict[str, Any], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        relu.stream([], **options)
    relu.close()
    with pytest.raises(EngineError, match="closed"):
        relu.stream([])


CAMERA = """
import sys, time
import numpy as np
import edge_trt_runtime

def say(line):  # in one piece: two threads do
    sys.stdout.write(line + "\\n")
    sys.stdout.flush()

def camera():
    try:
        while True:
            yield np.ones((1, 4), np.float32)
            time.sleep(0.001)
    finally:
        say("camera closed")

running = False
with edge_trt_runtime.load(sys.argv[1], threads=1) as session:
    with session.stream(camera(), policy=sys.argv[2]) as stream:
        try:
            for result in stream:
                if not running and result.number >= 5:  # the fifth may have been dropped
                    running = True
                    say("running")
        except KeyboardInterrupt:
            say("stopped")
say("left")
"""


@pytest.mark.parametrize("policy", POLICIES)
def test_ctrl_c_ends_cleanly(tmp_path: Path, policy: str) -> None:
    bundle = relu_draft().write(tmp_path / "relu.edge")
    command = [sys.executable, "-c", CAMERA, str(bundle), policy]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        assert p.stdout is not None
        assert p.stdout.readline() == "running\n"
        os.kill(p.pid, signal.SIGINT)
        out, err = p.communicate(timeout=20)
    assert err == ""
    assert p.returncode == 0
    assert {"stopped", "left"} <= {*out.split("\n")}


@pytest.mark.parametrize("started", [0, 1, 2])
def test_ctrl_c_while_a_stream_starts(monkeypatch: pytest.MonkeyPatch, started: int) -> None:
    start, threads = threading.Thread.start, []

    def interrupted(thread: threading.Thread) -> None:
        if len(threads) == started:
            raise KeyboardInterrupt
        threads.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), stream_of(range(9), lambda frame: {}) as stream:
        next(stream)
    assert list(stream) == []
    assert quiet()


def test_ctrl_c_finds_no_lock_that_it_could_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raised within a method of Condition, it would leave the lock taken, and close() hang."""
    calls: list[str] = []

    def watch(name: str) -> None:
        method = getattr(threading.Condition, name)

        def watched(*args: Any) -> Any:
            if threading.current_thread() is threading.main_thread():
                calls.append(name)
            return method(*args)

        monkeypatch.setattr(threading.Condition, name, watched)

    with stream_of(range(50), lambda frame: {}) as stream:
        next(stream)  # starting threads needs conditions
        watch("__enter__")
        watch("wait")
        assert len(list(stream)) == 49
    assert calls == []


def test_arun(relu: Session) -> None:
    async def both() -> list[Outputs]:
        a, b = numbers(3)[1:]
        with pytest.raises(InputError):
            await relu.arun({})
        return [*await asyncio.gather(relu.arun({"x": a}), relu.arun({"x": b}))]

    first, second = asyncio.run(both())
    assert first["output"].sum() == 4
    assert second["output"].sum() == 8


def test_results_in_arrays_of_the_caller(tmp_path: Path) -> None:
    draft = Draft(
        inputs=[spec("x", [1, 4])],
        outputs=[spec("y", [1, 4]), spec("same", [1, 4]), spec("z", [1, 4])],
        results={"y": "a", "same": "x", "z": "b"},
        values=[spec("a", [1, 4]), spec("b", [1, 4])],
    )
    draft.network("s", ["x"], ["a", "b"], [node("Relu", "x", "a"), node("Neg", "x", "b")])
    x = numbers(2)[1]
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge")) as session:
        out = {"y": np.empty((1, 4), np.float32), "same": np.empty((4, 1), np.float32).T}
        found = session.run({"x": x}, out=out)
        assert found["y"] is out["y"]
        assert found["same"] is out["same"]
        for name, expected in (("y", x), ("same", x), ("z", -x)):
            np.testing.assert_array_equal(found[name], expected)
        fixed = np.empty((1, 4), np.float32)
        fixed.flags.writeable = False
        for wrong, message in (
            ({"w": fixed}, "out has 'w', which is no output"),
            ({"y": fixed}, r"out\['y'\] is no array that can be written to"),
            ({"y": [0.0]}, "is no array that can be written to"),
            ({"y": np.empty((1, 3), "f")}, r"is float32 of shape \[1, 3\], and the output is flo"),
            ({"y": np.empty((1, 4), "d")}, r"is float64 of shape \[1, 4\], and the output is flo"),
        ):
            with pytest.raises(InputError, match=message):
                session.run({"x": x}, out=wrong)  # type: ignore[arg-type]
