# SPDX-License-Identifier: Apache-2.0
"""Runs that do not end in time: on the CPU for real, by a segment that waits for the test."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime import EngineError, Metrics
from edge_trt_runtime.executors.onnx import OnnxExecutor
from tests.support.bundles import Draft, node, self_tested, spec

X = {"x": np.float32([[1, -2, 3, -4]])}
HUNG = r"did not end within 0\.1 s; in flight: segment 'second' on the CPU"


class Hanging:
    """Lets the segment `second` wait, once, until the test ends."""

    def __init__(self) -> None:
        self.left, self.over = 0, threading.Event()

    def wait(self, segment: str) -> None:
        if segment == "second" and self.left:
            self.left -= 1
            self.over.wait()


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    hanging, run = Hanging(), OnnxExecutor.run

    def waiting(self: OnnxExecutor, inputs: list[np.ndarray]) -> list[np.ndarray]:
        hanging.wait(self._segment)  # pyright: ignore[reportPrivateUsage]
        return run(self, inputs)

    monkeypatch.setattr(OnnxExecutor, "run", waiting)
    yield hanging
    hanging.over.set()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    draft = Draft(
        inputs=[spec("x", [1, 4])],
        outputs=[spec("y", [1, 4])],
        results={"y": "b"},
        values=[spec("a", [1, 4]), spec("b", [1, 4])],
    )
    draft.network("first", ["x"], ["a"], [node("Relu", "x", "a")])
    draft.network("second", ["a"], ["b"], [node("Neg", "a", "b")])
    return draft.write(tmp_path / "m.edge")


def load(bundle: Path, seconds: float = 0.1) -> edge_trt_runtime.Session:
    return edge_trt_runtime.load(bundle, device="cpu", threads=1, watchdog=seconds)


def test_runs_that_end_in_time_are_as_without(bundle: Path) -> None:
    with load(bundle, 60) as session:
        for _ in range(3):
            np.testing.assert_array_equal(session.run(X)["y"], -np.maximum(X["x"], 0))
        target = np.empty((1, 4), np.float32)
        assert session.run(X, out={"y": target})["y"] is target
        assert [t.name for t in session.profile(X)] == ["first", "second"]
        assert len(list(session.stream([X] * 5))) == 5
        with pytest.raises(edge_trt_runtime.InputError):
            session.run({})
        assert session.broken == ""


def test_a_run_that_hangs_breaks_the_session(bundle: Path, hanging: Hanging) -> None:
    metrics = Metrics()
    with load(bundle) as session:
        metrics.watch(session, "m")
        session.run(X)
        assert 'edge_trt_session_broken{session="m"} 0' in metrics.text()
        hanging.left = 1
        with pytest.raises(EngineError, match=HUNG):
            session.run(X)
        start = time.perf_counter()
        for refused in (session.run, session.profile):
            with pytest.raises(EngineError, match=f"the session is broken: .*{HUNG}"):
                refused(X)
        assert time.perf_counter() - start < 0.1  # at once, not after a time of their own
        assert "segment 'second'" in session.broken
        assert 'edge_trt_session_broken{session="m"} 1' in metrics.text()
        assert 'edge_trt_errors_total{session="m",error="EngineError"} 2' in metrics.text()


def test_reloading_gives_a_session_that_runs(
    tmp_path: Path, bundle: Path, hanging: Hanging
) -> None:
    with load(bundle) as session:
        hanging.left = 1
        with pytest.raises(EngineError, match=HUNG):
            session.run(X)
        session.reload()
        assert session.broken == ""
        np.testing.assert_array_equal(session.run(X)["y"], -np.maximum(X["x"], 0))
        hanging.left = 1
        with pytest.raises(EngineError, match=HUNG):
            session.run(X)


def test_a_bundle_that_hangs_does_not_replace_one_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = self_tested(tmp_path)
    over = threading.Event()
    with load(path) as session:
        run = OnnxExecutor.run
        monkeypatch.setattr(OnnxExecutor, "run", lambda *_: over.wait())
        with pytest.raises(EngineError, match="segment 'main' on the CPU"):
            session.reload()
        monkeypatch.setattr(OnnxExecutor, "run", run)
        assert session.broken == ""
        assert session.run(X)["output"].shape == (1, 4)
    over.set()


def test_a_stream_ends_with_the_error(bundle: Path, hanging: Hanging) -> None:
    def frames() -> Iterator[dict[str, np.ndarray]]:
        for number in range(50):
            hanging.left = int(number == 3 or hanging.left)
            yield X

    with load(bundle) as session:
        with pytest.raises(EngineError, match=r"did not end|is broken"):
            list(session.stream(frames(), depth=1))
        assert session.broken


def test_closing_does_not_wait_for_a_run_that_hangs(bundle: Path, hanging: Hanging) -> None:
    session = load(bundle, 0.2)
    hanging.left = 1
    errors: list[EngineError] = []

    def run() -> None:
        try:
            session.run(X)
        except EngineError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.05)
    start = time.perf_counter()
    session.close()
    assert time.perf_counter() - start < 1
    thread.join(timeout=5)
    assert len(errors) == 1


def test_threads_of_a_closed_session_end(bundle: Path) -> None:
    with load(bundle, 60) as session:
        session.run(X)
        assert any(thread.name == "edge_trt-watched" for thread in threading.enumerate())
    deadline = time.monotonic() + 5
    while any(thread.name == "edge_trt-watched" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("hangs", "ended"), [("Event().wait()", False), ("sleep(0.5)", True)])
def test_the_process_ends_while_a_run_hangs(bundle: Path, hangs: str, ended: bool) -> None:
    """And waits a little for one that comes back, which must not find Python gone."""
    code = f"""
        import atexit, numpy as np, edge_trt_runtime
        from threading import Event
        from time import sleep
        from edge_trt_runtime import watchdog
        from edge_trt_runtime.executors.onnx import OnnxExecutor
        watchdog.AT_EXIT = 0.3 if {not ended} else 20
        ends = []
        atexit.unregister(watchdog._wait_for_late_runs)
        atexit.register(lambda: print("ended:", ends))
        atexit.register(watchdog._wait_for_late_runs)
        OnnxExecutor.run = lambda *_: ({hangs}, ends.append("it"))
        session = edge_trt_runtime.load({str(bundle)!r}, device="cpu", watchdog=0.1)
        try:
            session.run({{"x": np.ones((1, 4), np.float32)}})
        except edge_trt_runtime.EngineError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0
    assert "in flight: segment 'first' on the CPU: the session takes no more runs" in done.stdout
    assert ("'it'" in done.stdout) == ended


def test_no_time_is_refused(bundle: Path) -> None:
    with pytest.raises(EngineError, match="watchdog is 0: give seconds above 0, or None"):
        load(bundle, 0)
