# SPDX-License-Identifier: Apache-2.0
"""Keeps a calibration when it, or what comes after it, ends early: a pass may take long."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_trt.errors import EdgeTrtError
from edge_trt_calibration import CalibrationError, Ranges

if TYPE_CHECKING:
    from edge_trt.bundle.bundle import Bundle

PATIENCE = 3.0
"""Seconds after Ctrl-C until another one ends the batch too: data may never come."""


class Interruption:
    """Takes Ctrl-C and SIGTERM inside the block for the wish to end after the batch.

    What was counted is to be written then, so that no further signal is heard soon after the
    first. A handler that the program has set itself is left alone, and so is everything in a thread
    that is not the main one, where Python does not let handlers be set.

    Args:
        enabled: otherwise nothing changes.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled and threading.current_thread() is threading.main_thread()
        self._before: dict[int, Any] = {}
        self._number = 0
        self._since = 0.0
        self._ending = False

    def check(self) -> None:
        """Ends the block if that was asked for.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
            SystemExit: SIGTERM came.
        """
        if self._number:
            self._ending = True
            raise self._stop()

    def writing(self) -> None:
        """From now on no signal is heard."""
        self._ending = True

    def _stop(self) -> BaseException:
        term = self._number == signal.SIGTERM
        return SystemExit(128 + signal.SIGTERM) if term else KeyboardInterrupt()

    def _press(self, number: int, _: object) -> None:
        now = time.monotonic()
        if not self._number:
            self._number, self._since = number, now
        elif not self._ending and now - self._since > PATIENCE:
            self._ending = True
            raise self._stop()

    def __enter__(self) -> Interruption:
        usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
        for number, handler in usual.items() if self._enabled else ():
            if signal.getsignal(number) is handler:
                self._before[number] = signal.signal(number, self._press)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Kept:
    """Where the ranges go that a calibration has when it ends early.

    Args:
        path: a file; None puts them into the error.
        groups: as `Ranges.grouped` takes them.
        remark: told of it.
    """

    def __init__(
        self, path: str | Path | None, groups: list[list[str]], remark: Callable[[str], None]
    ) -> None:
        self._path = None if path is None else Path(path)
        self._groups = groups
        self._remark = remark

    def __call__(self, ranges: Ranges, stop: BaseException) -> None:
        """Keeps the ranges of the batches before what the calibration ended with."""
        ranges = ranges.grouped(self._groups)
        if isinstance(stop, CalibrationError):
            stop.ranges = ranges
        if self._path is None:
            return
        ranges.save(self._path)
        why = "failed" if isinstance(stop, Exception) else "interrupted"
        count = f"{ranges.source.samples} sample{'' if ranges.source.samples == 1 else 's'}"
        self._remark(f"{why}: these are the ranges of the first {count}, in {self._path.name}")

    def save(self, ranges: Ranges) -> None:
        """Keeps the whole calibration."""
        if self._path is not None:
            ranges.grouped(self._groups).save(self._path)


def measured(bundle: Bundle) -> Ranges | None:
    """The ranges that this very build took from data, if it did."""
    ranges = bundle.ranges
    if ranges is None or bundle.options.ranges is not None or not ranges.source.samples:
        return None
    return ranges


@contextmanager
def keeping(ranges: Ranges | None, path: Path | None) -> Generator[None]:
    """Hands the ranges on in what the block raises, as its attribute `ranges`.

    Args:
        ranges: what was measured, if anything.
        path: where they were written: then nothing is to be done.

    Raises:
        BaseException: what the block raised; the hint of an error of ours says how to go on.
    """
    try:
        yield
    except BaseException as stop:
        if ranges is not None and path is None and "ranges" not in vars(stop):
            vars(stop)["ranges"] = ranges
            if isinstance(stop, EdgeTrtError):
                on = "ranges=error.ranges goes on from this calibration"
                stop.hint = f"{stop.hint}; {on}" if stop.hint else on
        raise
