# SPDX-License-Identifier: Apache-2.0
"""Large inputs on an integrated GPU, whose clock counts what was queued."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime.hybrid.prepared import MAPPED_LIMIT
from edge_trt_runtime.manifest import Range
from tests.runtime.tensorrt.machine import Machine
from tests.support.bundles import relu_draft
from tests.support.fake_tensorrt import plan_bytes

LARGE, SMALL = 70_000, 16
CLOCK = "edge_trt_runtime.hybrid.choosing.perf_counter"


def bundle(folder: Path, size: int) -> Path:
    shape = [1, size]
    data = plan_bytes("relu", {"x": shape}, {"main.0": shape})
    return relu_draft([1, size]).plan("main", data).write(folder / "m.edge")


@pytest.mark.parametrize(
    ("direction", "integrated", "size", "uploads", "said"),
    [
        (1, True, LARGE, 0, "read in place: 3.000 ms a run when copied, 2.000 ms when read"),
        (-1, True, LARGE, 1, "large inputs are copied: "),  # a clock on which copies save time
        (1, True, SMALL, 0, ""),  # is read in place anyway
        (1, False, LARGE, 1, ""),
    ],
)
def test_what_is_faster_is_chosen(
    machine: Callable[..., Machine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    direction: int,
    integrated: bool,
    size: int,
    uploads: int,
    said: str,
) -> None:
    assert 4 * SMALL <= MAPPED_LIMIT < 4 * LARGE
    device = machine().device
    device.integrated = integrated
    monkeypatch.setattr(CLOCK, lambda: direction * device.clock * 1e-3)
    caplog.set_level(logging.INFO, "edge_trt_runtime")
    with edge_trt_runtime.load(bundle(tmp_path, size), device="cuda", graphs=False) as session:
        assert said in caplog.text
        assert bool(caplog.text) == bool(said)
        device.counts.clear()
        for seed in range(3):
            x = np.random.default_rng(seed).standard_normal((1, size)).astype(np.float32)
            np.testing.assert_array_equal(session.run({"x": x})["output"], np.maximum(x, 0))
        assert device.counts.get("upload", 0) == 3 * uploads
    assert not device.allocations


def test_zeros_that_fail_leave_copies(
    machine: Callable[..., Machine], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = machine()
    here.device.integrated, here.trt.fails = True, True
    caplog.set_level(logging.INFO, "edge_trt_runtime")
    with edge_trt_runtime.load(bundle(tmp_path, LARGE), device="cuda") as session:
        assert "large inputs are copied, as zeros could not be run" in caplog.text
        here.trt.fails = False
        x = np.ones((1, LARGE), np.float32)
        np.testing.assert_array_equal(session.run({"x": x})["output"], x)
    assert not here.device.allocations


def test_open_sizes_are_tried_at_the_usual_ones(
    machine: Callable[..., Machine], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = machine()
    here.device.integrated = True
    caplog.set_level(logging.INFO, "edge_trt_runtime")
    profile = {"x": [[1, LARGE], [2, LARGE], [4, LARGE]]}
    data = plan_bytes("relu", {"x": [-1, LARGE]}, {"main.0": [-1, LARGE]}, profiles=[profile])
    draft = relu_draft(["n", LARGE], {"n": Range(1, 2, 4)}).plan("main", data)
    with edge_trt_runtime.load(draft.write(tmp_path / "m.edge"), device="cuda") as session:
        assert "ms when read in place" in caplog.text
        for rows in (1, 2, 4):
            x = np.full((rows, LARGE), rows, np.float32)
            np.testing.assert_array_equal(session.run({"x": x})["output"], x)
