# SPDX-License-Identifier: Apache-2.0
"""Pools of two lanes on the CPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import edge_trt_runtime
from edge_trt_runtime import Pool
from tests.runtime.pool.stubs import SIZES, TWO
from tests.support.bundles import relu_draft


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
