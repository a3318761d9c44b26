# SPDX-License-Identifier: Apache-2.0
"""Telling others what runs took."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Observer = Callable[[float, BaseException | None], object]


def observed(observers: Iterable[Observer], run: Callable[..., Any], *arguments: Any) -> Any:
    """Run, and call each observer with the seconds that it took and what it raised, or None."""
    start = perf_counter()
    error: BaseException | None = None
    try:
        return run(*arguments)
    except BaseException as raised:
        error = raised
        raise
    finally:
        seconds = perf_counter() - start
        for observer in observers:
            observer(seconds, error)
