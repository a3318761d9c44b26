# SPDX-License-Identifier: Apache-2.0
"""Leaving tidily when the process is asked to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def sigterm_raises() -> Generator[None]:
    """Turn SIGTERM into :exc:`SystemExit` inside the block, so that clean-up code runs.

    A handler that the program has set itself is left alone, and so is everything in a thread that
    is not the main one, where Python does not let handlers be set.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
