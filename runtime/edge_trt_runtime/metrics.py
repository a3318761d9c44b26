# SPDX-License-Identifier: Apache-2.0
"""What sessions did, as text that Prometheus reads; no package is needed for it.

::

    metrics = Metrics()
    metrics.watch(session, "detector")
    ...
    text = metrics.text()  # answer GET /metrics with it, as text/plain; version=0.0.4

On a Jetson, ``metrics.watch_board()`` adds power, temperatures, loads, clocks and throttling.

The format is Prometheus' text exposition format
(https://prometheus.io/docs/instrumenting/exposition_formats/).
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from importlib import import_module
from typing import TYPE_CHECKING

from edge_trt_runtime.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from edge_trt_runtime.pool.pool import Pool
    from edge_trt_runtime.session import Session

    Reading = tuple[str, str, Mapping[str, str], float]
    """Name of a gauge, or of a counter, which ends in ``_total``; a sentence, labels, value."""
    Provider = Callable[[], Iterable[Reading]]

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper bounds of the histogram of latencies, in seconds."""


class _Watched:
    """Counts of one session."""

    def __init__(self, session: Session | Pool) -> None:
        self.session = session
        self.lock = threading.Lock()
        self.counts = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0
        self.errors: dict[str, int] = {}

    def add(self, seconds: float, error: BaseException | None) -> None:
        with self.lock:
            if error is not None:
                kind = type(error).__name__
                self.errors[kind] = self.errors.get(kind, 0) + 1
                return
            self.counts[bisect_left(BUCKETS, seconds)] += 1
            self.seconds += seconds


class Metrics:
    """Counts the runs of sessions; several threads may use it."""

    def __init__(self) -> None:
        """Begin with no session."""
        self._watched: dict[str, _Watched] = {}
        self._providers: list[Provider] = []

    def add_provider(self, provider: Provider) -> None:
        """Add gauges and counters of something else than a session.

        Args:
            provider: called by each `text`, in its thread; returns ``(name, help, labels, value)``
                for each of them. What it raises stands in the text as a comment, and the rest of
                the text is whole.
        """
        self._providers.append(provider)

    def watch_board(self) -> bool:
        """Add the state of this machine: power, temperatures, loads, clocks, throttling, memory.

        Returns:
            Whether `edge-trt-jetson` is installed, which reads it; without it nothing is added.
        """
        try:
            # By its name and when it is asked for: the runtime does without that package.
            board = import_module("edge_trt_jetson.telemetry.metrics")
        except ModuleNotFoundError:
            return False
        self.add_provider(board.BoardMetrics())
        return True

    def watch(self, session: Session | Pool, name: str) -> None:
        """Count the runs of a session or a pool from now on, under the label ``session="name"``.

        Raises:
            EngineError: When the name is taken.
        """
        if name in self._watched:
            raise EngineError(f"a session {name!r} is watched already", hint="give another name")
        watched = self._watched[name] = _Watched(session)
        session.observe(watched.add)

    def text(self) -> str:
        """Return all counts in Prometheus' text format."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "# HELP edge_trt_run_seconds Time of runs that succeeded."
        yield "# TYPE edge_trt_run_seconds histogram"
        for name, watched in self._watched.items():
            yield from _histogram(_label(name), watched)
        yield "# HELP edge_trt_errors_total Runs that failed, by error."
        yield "# TYPE edge_trt_errors_total counter"
        for name, watched in self._watched.items():
            with watched.lock:
                errors = dict(watched.errors)
            for kind, count in errors.items():
                yield f'edge_trt_errors_total{{session="{_label(name)}",error="{kind}"}} {count}'
        yield "# HELP edge_trt_session_broken 1 after a run that did not end in time."
        yield "# TYPE edge_trt_session_broken gauge"
        for name, watched in self._watched.items():
            broken = int(bool(watched.session.broken))
            yield f'edge_trt_session_broken{{session="{_label(name)}"}} {broken}'
        yield "# HELP edge_trt_frame_device_bytes Device memory that a run in flight takes."
        yield "# TYPE edge_trt_frame_device_bytes gauge"
        for name, watched in self._watched.items():
            memory = watched.session.memory
            size = 0 if memory is None else memory.device
            yield f'edge_trt_frame_device_bytes{{session="{_label(name)}"}} {size}'

        for provider in self._providers:
            yield from _gauges(provider)


def _histogram(label: str, watched: _Watched) -> Iterator[str]:
    with watched.lock:
        counts, seconds = [*watched.counts], watched.seconds
    total = 0
    for bound, count in zip((*map(repr, BUCKETS), "+Inf"), counts, strict=True):
        total += count
        yield f'edge_trt_run_seconds_bucket{{session="{label}",le="{bound}"}} {total}'
    yield f'edge_trt_run_seconds_sum{{session="{label}"}} {seconds!r}'
    yield f'edge_trt_run_seconds_count{{session="{label}"}} {total}'


def _gauges(provider: Provider) -> Iterator[str]:
    """Lines of a provider; those of one name have to follow each other."""
    families: dict[str, list[str]] = {}
    try:
        for name, text, labels, value in provider():
            kind = "counter" if name.endswith("_total") else "gauge"
            head = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            inside = ",".join(f'{key}="{_label(label)}"' for key, label in labels.items())
            sample = f"{name}{{{inside}}} {value!r}" if inside else f"{name} {value!r}"
            families.setdefault(name, head).append(sample)
    except Exception as error:
        words = " ".join(str(error).split())
        yield f"# a provider failed: {type(error).__name__}: {words}"
        return
    for lines in families.values():
        yield from lines


def _label(name: str) -> str:
    """Escape a label's value."""
    return name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
