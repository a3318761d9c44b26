# SPDX-License-Identifier: Apache-2.0
"""Lanes whose runs take as long as a test says, and what the tests of pools share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

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
    *sessions: Any,
    rates: tuple[float, ...] = (),
    room: int = 1,
    signature: Any = None,
    fresh: Sequence[Any] = (),
) -> Pool:
    """A pool of these sessions; ``fresh`` are those of the bundle that a reload finds."""
    bundle: Any = SimpleNamespace(root="/m.edge", manifest=SimpleNamespace(signature=signature))

    def lanes(of: Sequence[Any]) -> list[OpenLane]:
        return [
            OpenLane(str(number), 1, session, rates[number] if rates else 1.0, room)
            for number, session in enumerate(of)
        ]

    def reopen(*_: object) -> Any:
        assert fresh, "nothing is reloaded"
        return bundle, lanes(fresh)

    return Pool(bundle, lanes(sessions), reopen)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.001)
