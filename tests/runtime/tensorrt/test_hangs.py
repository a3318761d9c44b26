# SPDX-License-Identifier: Apache-2.0
"""A watchdog and NVTX on the GPU that is none, which can hang when it is told to."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime import EngineError
from tests.runtime.tensorrt.machine import Machine
from tests.support.bundles import relu_draft
from tests.support.fake_tensorrt import plan_bytes

X = {"x": np.float32([[1, -2, 3, -4]])}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    data = plan_bytes("relu", {"x": [1, 4]}, {"main.0": [1, 4]})
    return relu_draft().plan("main", data).write(tmp_path / "m.edge")


@pytest.mark.parametrize(
    ("kind", "runs", "doing"),
    [
        ("drain", 4, "wait for upload 'x', segment 'main', download 'main.0' on gpu (frame 0)"),
        ("launch", 4, "upload 'x', segment 'main', download 'main.0' on gpu (frame 0)"),
        ("enqueue", 0, "segment 'main' on gpu (frame 0)"),
        ("upload", 0, "upload 'x' on gpu (frame 0)"),
    ],
)
def test_a_device_that_hangs(
    machine: Callable[..., Machine], bundle: Path, kind: str, runs: int, doing: str
) -> None:
    here, over, hung = machine(), threading.Event(), threading.Event()

    def hang(what: str) -> None:
        if what == kind and not over.is_set():
            hung.set()
            over.wait()

    session = edge_trt_runtime.load(bundle, device="cuda", frames=1, watchdog=0.2)
    for _ in range(runs):
        np.testing.assert_array_equal(session.run(X)["output"], [[1, 0, 3, 0]])
    here.device.fails = hang
    errors: list[str] = []

    def run() -> None:
        try:
            session.run(X)
        except EngineError as error:
            errors.append(error.message)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert hung.is_set()
    message = f"a run did not end within 0.2 s; in flight: {doing}"
    assert sorted(errors) == [message, *[f"the session is broken: {message}"] * 2]
    assert session.broken == message
    session.close()  # waits for nothing, and gives nothing back
    assert here.device.allocations
    assert not edge_trt_runtime.engines()
    here.device.fails = lambda _: None
    with edge_trt_runtime.load(bundle, device="cuda", watchdog=10) as fresh:
        np.testing.assert_array_equal(fresh.run(X)["output"], [[1, 0, 3, 0]])
    assert here.trt.deserialized == [None, None]
    over.set()


def test_ranges_name_segment_and_frame(
    machine: Callable[..., Machine], bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine()
    told: list[Any] = []
    nvtx = SimpleNamespace(push_range=told.append, pop_range=lambda: None)
    monkeypatch.setattr("edge_trt_runtime.nvtx.LIBRARY", "no such library")
    monkeypatch.setitem(sys.modules, "nvtx", nvtx)
    with edge_trt_runtime.load(bundle, device="cuda", nvtx=True) as session:
        for _ in range(2):
            session.run(X)
        told.clear()
        session.run(X)
    work = "upload 'x', segment 'main', download 'main.0' on gpu (frame 0)"
    assert told == [work, f"wait for {work}"]
