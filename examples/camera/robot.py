# SPDX-License-Identifier: Apache-2.0
"""The application: frames of a camera through a bundle, with numpy and edge_trt_runtime alone."""

from __future__ import annotations

import json
import signal
import sys
from argparse import Namespace
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from fitting import Fit, colours
from marking import Found, found_in, mark
from sources import Frame, Source, open_source
from y4m import VideoError, Writer

import edge_trt_runtime
from edge_trt_runtime import EdgeTrtError, Session
from edge_trt_runtime.streaming import StreamResult

WARM_UP = 5
STAGES = ("waited", "ran", "age")
Column = dict[str, str | int | float]


class Shown(NamedTuple):
    """A result that was shown: the number of its frame, when, and seconds until then.

    Attributes:
        age: since the frame was there.
    """

    number: int
    at: float
    waited: float
    ran: float
    age: float
    late: bool
    found: Found | None


class Log:
    """What happened to frames, and what was found in them."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self.dropped = 0

    def add(self, result: StreamResult, found: Found | None) -> None:
        """Adds a result that is shown now, in one step: Ctrl-C may come at any time."""
        now, age = perf_counter(), perf_counter() - result.frame.at
        times = (now, result.waited, result.ran, age)
        self.shown.append(Shown(result.number, *times, result.late, found))

    def column(self, source: Source) -> Column:
        """The column of a table."""
        shown = self.shown
        column: Column = {
            "frames of the source": source.count,
            "results": len(shown),
            "dropped": self.dropped,
            "late": sum(one.late for one in shown),
        }
        if len(shown) > 1:
            column["frames per second"] = (len(shown) - 1) / (shown[-1].at - shown[0].at)
        for stage in STAGES if shown else ():
            p50, p99 = np.percentile([getattr(one, stage) for one in shown], [50, 99]) * 1e3
            column |= {f"{stage} p50 [ms]": float(p50), f"{stage} p99 [ms]": float(p99)}
        column["torch imported"] = "yes" if "torch" in sys.modules else "no"
        return column

    def save(self, path: Path) -> None:
        """Writes numbers of frames and what was found in them, as an .npz file."""
        pairs = [(one.number, one.found) for one in self.shown if one.found is not None]
        arrays: dict[str, Any] = {
            "numbers": [number for number, _ in pairs],
            "counts": [len(found.scores) for _, found in pairs],
        }
        for name in Found._fields if pairs else ():
            arrays[name] = np.concatenate([getattr(found, name) for _, found in pairs])
        np.savez(path, **arrays)


class Film(Writer):
    """What was shown, as a Y4M file; where frames were dropped the one before them stays."""

    def __init__(self, path: Path, source: Source) -> None:
        super().__init__(path, Fraction(source.rate or 30).limit_denominator(1001))
        self._color, self._number = source.color, -1

    def show(self, result: StreamResult, found: Found | None) -> None:
        """Adds a result with the boxes in it."""
        if self._number >= 0:
            self.repeat(result.number - self._number - 1)
        self._number = result.number
        self.write(mark(colours(result.frame.pixels, self._color, "RGB"), found))


def run(typed: Namespace) -> int:
    """Plays the source until it ends or Ctrl-C; returns the status of the process."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what systemd sends to stop
    log, source = Log(), None
    try:
        with edge_trt_runtime.load(
            typed.bundle, device=typed.device, threads=typed.threads, frames=typed.depth
        ) as session:
            fit = Fit(session.signature)
            reading = open_source(typed.source or "0", fit.wanted, typed.fps)
            fps = typed.fps or reading.rate
            source = Source(reading, fps, pacing=typed.pacing, loop=typed.loop, limit=typed.limit)
            fit.color = source.color
            with Film(typed.film, source) if typed.film else nullcontext() as film:
                play(session, source, fit, log, film, typed)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    except (EdgeTrtError, VideoError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if source is None:
        return 130
    if not source.wait_closed(2):
        print(f"warning: {typed.source} hangs and was not closed", file=sys.stderr)
    report(log.column(source), typed)
    if typed.found:
        log.save(typed.found)
    return 0


def play(
    session: Session, source: Source, fit: Fit, log: Log, film: Film | None, typed: Namespace
) -> None:
    """Runs the model on one frame after the other, and shows what it found."""
    blank = Frame(np.zeros(source.shape, np.uint8), 0.0)
    for _ in range(WARM_UP):  # also says what does not fit before the camera runs
        session.run(fit(blank))
    stream = session.stream(
        source, depth=typed.depth, policy=typed.policy, deadline=typed.deadline, prepare=fit
    )
    try:
        for result in stream:
            found = found_in(result.outputs)
            if film is not None:
                film.show(result, found)
            log.add(result, found)
    finally:
        stream.close()
        log.dropped = stream.dropped


def report(column: Column, typed: Namespace) -> None:
    """Prints the table, and writes it as JSON where that was asked for."""
    name = Path(typed.bundle).name
    for row, value in column.items():
        print(f"{row:<24}{f'{value:.4g}' if isinstance(value, float) else value:>14}")
    if typed.json:
        typed.json.write_text(json.dumps({name: column}, indent=2))
