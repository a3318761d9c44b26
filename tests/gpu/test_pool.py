# SPDX-License-Identifier: Apache-2.0
"""Pools on real GPUs: two lanes on one, and one on each where there are several."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import edge_trt_runtime
from edge_trt_runtime import Lane
from tests.support.gpu_bundles import kernels, write_torch

pytestmark = pytest.mark.gpu


def lanes_of(kind: str) -> list[Lane]:
    from pycuda import driver

    driver.init()
    if kind == "one GPU twice":
        return [Lane(device="cuda:0", rate=3.0), Lane(device="cuda:0", rate=1.0)]
    count = driver.Device.count()
    if count < 2:
        pytest.skip("there is one GPU")
    return [Lane(device=f"cuda:{number}") for number in range(count)]


@pytest.mark.parametrize("kind", ["one GPU twice", "every GPU"])
def test_results_are_those_of_the_cpu(kind: str, tmp_path: Path) -> None:
    """By map, by threads, and as a batch; also after another bundle has come in its place."""
    path = write_torch(tmp_path / "m.edge", [0, 1024], kernels(3), kernels(2))
    draw = np.random.default_rng(0)
    cases = [{"x": draw.standard_normal((1 + n % 4, 1024)).astype(np.float32)} for n in range(300)]
    large = np.concatenate([case["x"] for case in cases])
    with (
        edge_trt_runtime.load(path, device="cpu") as cpu,
        edge_trt_runtime.load_pool(path, lanes=lanes_of(kind)) as pool,
        ThreadPoolExecutor(8) as threads,
    ):
        assert all(place.lane in ("gpu", "host") for lane in pool.lanes for place in lane.places)
        expected = [cpu.run(case)["y"] for case in cases]
        for _ in range(2):
            for found in (pool.map(cases), threads.map(pool.run, cases)):
                for got, right in zip(found, expected, strict=True):
                    np.testing.assert_allclose(got["y"], right, rtol=1e-5, atol=1e-6)
            for rows in (6, 50, len(large)):
                got = pool.run_batch({"x": large[:rows]})["y"]
                right = np.concatenate(expected)[:rows]
                np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-6)
            assert all(lane.runs > 20 for lane in pool.lanes)
            pool.reload()
