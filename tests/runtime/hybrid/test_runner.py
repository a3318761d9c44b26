# SPDX-License-Identifier: Apache-2.0
"""Many callers on few frames, and closing while they run, on the fake GPU."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from unittest.mock import MagicMock

import pytest

from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.hybrid.runner import _Frames  # pyright: ignore[reportPrivateUsage]


class SlowFrame:
    """Counts how many run at once."""

    made: list[SlowFrame]
    running = most = 0
    lock = threading.Lock()

    def __init__(self, *_: object) -> None:
        SlowFrame.made.append(self)
        self.closed = False

    def run(self) -> None:
        assert not self.closed
        with self.lock:
            SlowFrame.running += 1
            SlowFrame.most = max(SlowFrame.most, SlowFrame.running)
        time.sleep(0.002)
        with self.lock:
            SlowFrame.running -= 1

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], _Frames]:
    monkeypatch.setattr("edge_trt_runtime.hybrid.runner.Frame", SlowFrame)
    SlowFrame.made, SlowFrame.running, SlowFrame.most = [], 0, 0

    def make(limit: int) -> _Frames:
        pool = _Frames(None, None, MagicMock(), limit)  # type: ignore[arg-type]
        pool.add()
        return pool

    return make


def use(pool: _Frames, times: int, errors: list[str]) -> None:
    for _ in range(times):
        try:
            frame = pool.take()
        except EngineError as error:
            errors.append(str(error))
            return
        try:
            frame.run()  # type: ignore[call-arg]
        finally:
            pool.give(frame)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_as_many_frames_as_callers_up_to_the_limit(
    frames: Callable[[int], _Frames], limit: int
) -> None:
    pool, errors = frames(limit), []  # type: ignore[var-annotated]
    threads = [threading.Thread(target=use, args=(pool, 20, errors)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not errors
    assert len(SlowFrame.made) == SlowFrame.most == limit


def test_one_caller_needs_one_frame(frames: Callable[[int], _Frames]) -> None:
    pool = frames(4)
    use(pool, 10, [])
    assert len(SlowFrame.made) == 1


def test_closing_lets_runs_finish_and_refuses_those_that_wait(
    frames: Callable[[int], _Frames],
) -> None:
    pool, errors = frames(2), []  # type: ignore[var-annotated]
    threads = [threading.Thread(target=use, args=(pool, 10_000, errors)) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    pool.close()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert len(errors) == 6
    assert set(errors) == {"the session is closed: load the bundle again"}
    assert all(frame.closed for frame in SlowFrame.made)
    assert SlowFrame.running == 0
