# SPDX-License-Identifier: Apache-2.0
"""Frames compute one after the other, where their copies could run meanwhile.

A GPU that gets the kernels of two frames on two streams works on both by turns: both are done late
and at the same time, and then both are copied while it idles. In order, the first is done when the
second one begins, and is copied while that one computes.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_trt_runtime.cuda import Device


class Turns:
    """The order of stretches on the GPU, over all frames of a session."""

    def __init__(self) -> None:
        """Begin with nothing queued."""
        self._lock = threading.Lock()
        self._last: Any = None

    def in_turn(
        self, launch: Callable[[], None], device: Device, stream: Any, event: Any
    ) -> Callable[[], None]:
        """Return a call that queues ``launch`` behind what any frame queued before.

        Args:
            launch: Queues work on ``stream``.
            device: Makes a stream wait.
            stream: Of the frame.
            event: Of the frame, for this stretch alone.
        """
        lock, wait, record = self._lock, device.wait, event.record

        def call() -> None:
            with lock:
                last = self._last
                if last is not None and last is not event:
                    wait(stream, last)
                launch()
                record(stream)
                self._last = event

        return call

    def close(self) -> None:
        """Forget the last event; the device must be current."""
        self._last = None
