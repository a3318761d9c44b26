# SPDX-License-Identifier: Apache-2.0
"""Lanes whose runs take as long as a test says, and what the tests of pools share."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_trt_runtime import Lane, Pool
from edge_trt_runtime.manifest import Range
from edge_trt_runtime.pool.lanes import OpenLane

SIZES = Range(2, 4, 8, 2)
TWO = [Lane(rate=3.0), Lane(rate=1.0)]


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
