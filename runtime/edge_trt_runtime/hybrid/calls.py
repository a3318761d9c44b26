# SPDX-License-Identifier: Apache-2.0
"""What the host itself does in a run: one function for each kind of call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy import copyto

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np


def stage(view: np.ndarray, values: list[Any], slot: int) -> None:
    """Copy an input to pinned memory."""
    copyto(view, values[slot])


def run_on_host(
    execute: Callable[[list[Any]], list[np.ndarray]],
    values: list[Any],
    inputs: Sequence[int],
    kept: Sequence[tuple[int, np.ndarray | None]],
) -> None:
    """Run a segment of the host, and hand over what devices read of it."""
    outputs = execute([values[slot] for slot in inputs])
    for (slot, view), output in zip(kept, outputs, strict=True):
        values[slot] = output
        if view is not None:
            copyto(view, output)


def run_between(
    execute: Callable[[list[Any]], list[np.ndarray]],
    sources: list[np.ndarray],
    places: Sequence[np.ndarray],
) -> None:
    """Run a segment of the host that has devices alone before and behind it."""
    for view, output in zip(places, execute(sources)):  # noqa: B905 (hot; executors give all)
        copyto(view, output)
