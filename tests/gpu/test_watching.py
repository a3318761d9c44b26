# SPDX-License-Identifier: Apache-2.0
"""A watchdog and NVTX on a real GPU; a long run stands for one that hangs."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

import edge_trt_runtime
from edge_trt_runtime import EngineError
from tests.support.gpu_bundles import kernels, write_torch

pytestmark = pytest.mark.gpu


def products(x: torch.Tensor) -> torch.Tensor:
    """A second or more of work on any GPU of today."""
    for _ in range(1000):
        x = torch.mm(x, x) * 1e-4
    return x


def test_a_run_that_takes_too_long(tmp_path: Path) -> None:
    long = write_torch(tmp_path / "long.edge", [4096, 4096], products)
    short = write_torch(tmp_path / "short.edge", [8, 1024], kernels(3))
    code = f"""
        import numpy as np, edge_trt_runtime
        session = edge_trt_runtime.load({str(long)!r}, device="cuda", watchdog=0.2)
        try:
            session.run({{"x": np.ones((4096, 4096), np.float32)}})
        except edge_trt_runtime.EngineError as error:
            print(error)
        print("broken:", session.broken)
        session.close()
        with edge_trt_runtime.load({str(short)!r}, device="cuda", watchdog=60) as other:
            print(other.run({{"x": np.zeros((8, 1024), np.float32)}})["y"].max())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    first, broken, other = done.stdout.strip().splitlines()
    assert "did not end within 0.2 s; in flight: " in first
    assert broken.startswith("broken: a run did not end")
    assert other == "0.0"


def test_a_watchdog_changes_no_result(tmp_path: Path) -> None:
    path = write_torch(tmp_path / "m.edge", [8, 1024], kernels(3), kernels(2))
    x = {"x": np.random.default_rng(0).standard_normal((8, 1024)).astype(np.float32)}
    with (
        edge_trt_runtime.load(path, device="cuda") as plain,
        edge_trt_runtime.load(path, device="cuda", watchdog=60) as watched,
    ):
        for _ in range(4):
            np.testing.assert_array_equal(watched.run(x)["y"], plain.run(x)["y"])


def test_ranges_change_no_result(tmp_path: Path) -> None:
    path = write_torch(tmp_path / "m.edge", [8, 1024], kernels(3))
    x = {"x": np.ones((8, 1024), np.float32)}
    try:
        session = edge_trt_runtime.load(path, device="cuda", nvtx=True)
    except EngineError as error:
        pytest.skip(str(error))
    with session, edge_trt_runtime.load(path, device="cuda") as plain:
        for _ in range(4):
            np.testing.assert_array_equal(session.run(x)["y"], plain.run(x)["y"])


def test_events_measure_what_a_device_does(tmp_path: Path) -> None:
    path = write_torch(tmp_path / "m.edge", [2048, 2048], kernels(20))
    x = {"x": np.ones((2048, 2048), np.float32)}
    with edge_trt_runtime.load(path, device="cuda") as session:
        for _ in range(5):
            timings = {timing.kind: timing for timing in session.profile(x)}
    # 16 MB: no link of a GPU is faster than 100 GB/s, and none that works is slower than 1 GB/s.
    for kind in ("upload", "download"):
        assert 1.6e-4 < timings[kind].seconds < 1.6e-2
    assert 0 < timings["segment"].seconds < 0.1


def test_layers_of_a_segment_without_any(tmp_path: Path) -> None:
    path = write_torch(tmp_path / "m.edge", [8, 1024], kernels(3), kernels(2))
    with edge_trt_runtime.load(path, device="cuda") as session:
        layers = session.profile_layers({"x": np.ones((8, 1024), np.float32)}, runs=3)
    assert [layer.segment for layer in layers] == ["s0", "s1", "s2"]
    assert all(layer.seconds > 0 for layer in layers)
