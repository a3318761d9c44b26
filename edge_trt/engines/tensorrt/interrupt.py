# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C during a long call into TensorRT.

Python runs signal handlers between bytecodes of the main thread. While that thread is inside the
builder, for minutes on a board, Ctrl-C would wait for the end; and a KeyboardInterrupt raised in a
callback would pass through TensorRT, which ends the process. A thread for the builder would solve
both, but takes more memory, which the C library keeps per thread: 366 MB instead of 280 MB at the
peak of building ResNet-50.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Generator


@contextlib.contextmanager
def interrupts_to(cancel: Callable[[], None]) -> Generator[None, None, None]:
    """Inside, Ctrl-C only calls `cancel()`, at once and from any thread; it is raised on leaving.

    Outside the main thread, and where Ctrl-C is ignored, nothing changes.
    """
    handler = signal.getsignal(signal.SIGINT)
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or not callable(handler):
        yield
        return
    came: list[int] = []

    def interrupted(number: int, frame: object = None) -> None:
        came.append(number)
        cancel()

    signal.signal(signal.SIGINT, interrupted)
    try:
        with _woken_by_signals(interrupted):
            yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if came:
        handler(signal.SIGINT, None)


@contextlib.contextmanager
def _woken_by_signals(interrupted: Callable[[int], None]) -> Generator[None, None, None]:
    """Hears of signals from C, in a thread of its own, while the main thread is not in Python."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    outer = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def watch() -> None:
        while data := os.read(reader, 16):
            if signal.SIGINT in data:
                interrupted(signal.SIGINT)
            if outer >= 0:  # an event loop waits for it too
                with contextlib.suppress(OSError):
                    os.write(outer, data)

    watcher = threading.Thread(target=watch, name="edge_trt-signals", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(outer)
        os.close(writer)
        watcher.join()
        os.close(reader)
