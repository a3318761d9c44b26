# SPDX-License-Identifier: Apache-2.0
"""Runs the stages of a build: times each, and tells who watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Progress = Callable[[str, float, str], None]
"""Called with the stage's name, the fraction of it that is done (0 to 1), and a note."""

Step = Callable[[float, str], None]
"""Called by a long stage with the fraction of it that is done (0 to 1), and a note."""

Result = TypeVar("Result")


class Stages:
    """`run(name, function, ...)` calls the function; `seconds` holds each stage's wall time.

    What the one who watches raises ends the build.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress: Progress = progress or _nobody
        self.seconds: dict[str, float] = {}

    def run(
        self, name: str, function: Callable[..., Result], *args: Any, on_step: bool = False
    ) -> Result:
        """Calls `function(*args)`; with `on_step` it gets a `Step` as well."""

        def step(fraction: float, note: str = "") -> None:
            self._progress(name, min(fraction, 1.0), note)

        step(0.0)
        start = time.perf_counter()
        result = function(*args, step) if on_step else function(*args)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
        step(1.0)
        return result

    def start(
        self, name: str, function: Callable[..., Mapping[str, Result]], *args: Any
    ) -> Mapping[str, Result]:
        """Calls `function(*args)` in a thread of its own; its result waits when it is first read.

        What the function raises is raised there.
        """

        def timed() -> Mapping[str, Result]:
            begin = time.perf_counter()
            result = function(*args)
            self.seconds[name] = time.perf_counter() - begin
            return result

        with_one = ThreadPoolExecutor(1)
        future = with_one.submit(timed)
        with_one.shutdown(wait=False)
        return _Later(future, lambda done: self._progress(name, done, ""))


class _Later(Mapping[str, Result]):
    """A mapping that a thread is still making; who reads it is told of as progress from 0 to 1."""

    def __init__(
        self, future: Future[Mapping[str, Result]], report: Callable[[float], None]
    ) -> None:
        self._future = future
        self._report = report
        self._waited = False

    def _result(self) -> Mapping[str, Result]:
        if not self._waited:
            self._waited = True
            self._report(0.0)
            self._future.result()
            self._report(1.0)
        return self._future.result()

    def __getitem__(self, key: str) -> Result:
        return self._result()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._result())

    def __len__(self) -> int:
        return len(self._result())


def _nobody(stage: str, fraction: float, note: str) -> None:
    """Watches nothing."""
