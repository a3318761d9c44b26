# SPDX-License-Identifier: Apache-2.0
"""The state of a board as gauges, for `edge_trt_runtime.Metrics.add_provider` or an exporter.

::

    metrics.add_provider(BoardMetrics())
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from edge_trt_jetson.telemetry.reader import Reader
from edge_trt_jetson.telemetry.sample import Engine, Sample

Reading = tuple[str, str, dict[str, str], float]
"""Name of a gauge, one sentence on it, labels, value."""

SHORTEST = 0.2
"""Seconds within which no second look is taken: many who ask cost no more than one."""


class BoardMetrics:
    """Gauges of a board, read when they are asked for; several threads may ask."""

    def __init__(self, root: str | Path = "/") -> None:
        """Look up what the machine below `root` tells."""
        self._reader = Reader(root)
        self._lock = threading.Lock()
        self._sample = self._reader.read()  # loads are counted from here
        self._after = time.monotonic() + SHORTEST

    def __call__(self) -> list[Reading]:
        """All gauges now; what can't be read is left out."""
        with self._lock:
            if time.monotonic() >= self._after:
                self._sample = self._reader.read()
                self._after = time.monotonic() + SHORTEST
            return list(gauges(self._sample))

    def close(self) -> None:
        """Give the board's files back."""
        with self._lock:
            self._reader.close()


def gauges(sample: Sample) -> Iterator[Reading]:
    """A sample as gauges, in SI units; loads are shares from 0 to 1."""
    if sample.watts is not None:
        yield "edge_trt_board_watts", "Power of the whole board.", {}, sample.watts
    for rail in sample.rails:
        yield "edge_trt_rail_watts", "Power by rail.", {"rail": rail.name}, rail.watts
    for zone, celsius in sample.temperatures.items():
        yield "edge_trt_temperature_celsius", "Temperature by zone.", {"zone": zone}, celsius
    throttled = len(sample.throttling)
    if throttled or "throttling" not in sample.unavailable:
        text = "Number of things that slow the board down, or did since the last look."
        yield "edge_trt_throttling", text, {}, float(throttled)
    yield from _engines(sample)
    for name, fan in sample.fans.items():
        if fan.duty is not None:
            yield "edge_trt_fan_duty", "Drive of a fan.", {"fan": name}, fan.duty
    if sample.memory is not None:
        text = "Memory of the machine that is in use."
        yield "edge_trt_memory_used_bytes", text, {}, float(sample.memory.used)
        text = "Memory of the machine."
        yield "edge_trt_memory_total_bytes", text, {}, float(sample.memory.total)


def _engines(sample: Sample) -> Iterator[Reading]:
    parts = dict(sample.engines)
    if sample.gpu is not None:
        parts["gpu"] = sample.gpu
    loads = [cpu.load for cpu in sample.cpus if cpu.load is not None]
    clocks = [cpu.hz for cpu in sample.cpus if cpu.hz is not None]
    mean = sum(loads) / len(loads) if loads else None
    parts["cpu"] = Engine(load=mean, hz=max(clocks, default=None))
    for name, engine in parts.items():
        if engine.load is not None:
            yield "edge_trt_load", "Load of CPU, GPU and memory.", {"part": name}, engine.load
    for name, engine in parts.items():
        if engine.powered is not None:
            text = "Share of the time in which a DLA had power."
            yield "edge_trt_powered", text, {"part": name}, engine.powered
    for name, engine in parts.items():
        if engine.hz is not None:
            hz = 0.0 if engine.on is False else float(engine.hz)
            yield "edge_trt_clock_hertz", "Clock; 0 where it is off.", {"part": name}, hz
