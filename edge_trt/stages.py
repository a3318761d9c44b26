# SPDX-License-Identifier: Apache-2.0
"""Runs the stages of a build: times each, and tells who watches."""

from __future__ import annotations

import time
from collections.abc import Callable
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


def _nobody(stage: str, fraction: float, note: str) -> None:
    """Watches nothing."""
