# SPDX-License-Identifier: Apache-2.0
"""Calls that say what they are when they are made: for a watchdog, and for NVTX.

A mark takes a label and a call, and gives a call that does the same and tells about it. It is
applied once, when a run's list of calls is made; without one the calls stay as they are, so what
nobody asked for costs nothing in a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Mark = Callable[[str, Callable[..., Any]], Callable[..., Any]]

Call = TypeVar("Call", bound="Callable[..., Any]")


def unmarked(label: str, call: Call) -> Call:
    """Return the call itself."""
    del label
    return call


def all_of(marks: Sequence[Mark]) -> Mark:
    """Return a mark that is each of several, or :func:`unmarked`."""
    if not marks:
        return unmarked

    def mark(label: str, call: Callable[..., Any]) -> Callable[..., Any]:
        for one in marks:
            call = one(label, call)
        return call

    return mark
