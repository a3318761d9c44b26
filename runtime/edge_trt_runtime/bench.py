# SPDX-License-Identifier: Apache-2.0
"""How fast a bundle runs here: latency, throughput, and where the time goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edge_trt_runtime.dtypes import NUMPY_DTYPES
from edge_trt_runtime.selftest import recorded_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_trt_runtime.manifest import Signature
    from edge_trt_runtime.session import Session

LEAST_RUNS = 10
WARM_UP = 0.2
"""Seconds, as trtexec warms up by time too."""
PROFILED = 20
STAGES = {
    "H2D": ("stage", "upload"),
    "compute": ("segment",),
    "D2H": ("download",),
}
"""Kinds of operations by trtexec's names."""


class Summary(NamedTuple):
    """Of times in milliseconds."""

    min: float
    mean: float
    median: float
    p90: float
    p95: float
    p99: float
    max: float

    @staticmethod
    def of(seconds: Sequence[float]) -> Summary:
        """Sum up times in seconds."""
        values = np.asarray(seconds) * 1e3
        median, p90, p95, p99 = np.percentile(values, [50, 90, 95, 99])
        found = (values.min(), values.mean(), median, p90, p95, p99, values.max())
        return Summary(*map(float, found))


class Bench(NamedTuple):
    """What was measured.

    Attributes:
        runs: How many.
        throughput: Runs per second, one after the other.
        latency: Of a run, from its inputs to its outputs.
        stages: By trtexec's name, of runs in which each operation was waited for; copies only on
            a GPU.
        segments: By name and lane, likewise.
    """

    runs: int
    throughput: float
    latency: Summary
    stages: dict[str, Summary]
    segments: dict[str, Summary]

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON; times are milliseconds."""
        return {
            "runs": self.runs,
            "throughput": self.throughput,
            "latency_ms": self.latency._asdict(),
            "stages_ms": {name: summary._asdict() for name, summary in self.stages.items()},
            "segments_ms": {name: summary._asdict() for name, summary in self.segments.items()},
        }


def measure(session: Session, seconds: float = 3.0) -> Bench:
    """Run a session on its recorded inputs, or on random ones, for some seconds.

    Args:
        session: What to run.
        seconds: For how long, after warming up; at least 10 runs.

    Raises:
        EngineError: When a segment fails.
    """
    inputs = sample_inputs(session)
    _repeat(session, inputs, WARM_UP, 3)
    begin = time.perf_counter()
    times = _repeat(session, inputs, seconds, LEAST_RUNS)
    elapsed = time.perf_counter() - begin
    return Bench(len(times), len(times) / elapsed, Summary.of(times), *breakdown(session, inputs))


def breakdown(
    session: Session, inputs: dict[str, np.ndarray]
) -> tuple[dict[str, Summary], dict[str, Summary]]:
    """Run some times, waiting for each operation; sum up what stages and segments take.

    Returns:
        By trtexec's name of a stage, and by name and lane of a segment.

    Raises:
        EngineError: When a segment fails.
    """
    profiles = [session.profile(inputs) for _ in range(PROFILED)]
    stages = {
        name: [sum(t.seconds for t in profile if t.kind in kinds) for profile in profiles]
        for name, kinds in STAGES.items()
    }
    segments: dict[str, list[float]] = {}
    for timing in (t for profile in profiles for t in profile if t.kind == "segment"):
        segments.setdefault(f"{timing.name} ({timing.lane})", []).append(timing.seconds)
    return (
        {name: Summary.of(values) for name, values in stages.items() if any(values)},
        {name: Summary.of(values) for name, values in segments.items()},
    )


def sample_inputs(session: Session) -> dict[str, np.ndarray]:
    """Return the inputs of the first recorded case, or random ones of the usual sizes."""
    recorded = recorded_inputs(session)
    return _random_inputs(session.signature) if recorded is None else recorded


def _random_inputs(signature: Signature) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    inputs: dict[str, np.ndarray] = {}
    for spec in signature.inputs:
        dims = signature.dims
        shape = [s if isinstance(s, int) else dims[s].opt if s in dims else 1 for s in spec.shape]
        dtype = NUMPY_DTYPES[spec.dtype]
        values = draw.standard_normal(shape) if dtype.kind in "fc" else np.zeros(shape)
        inputs[spec.name] = values.astype(dtype)
    return inputs


def _repeat(
    session: Session, inputs: dict[str, np.ndarray], seconds: float, least: int
) -> list[float]:
    """Run for some time; what each run took."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        start = time.perf_counter()
        session.run(inputs)
        times.append(time.perf_counter() - start)
    return times


def format_bench(bench: Bench) -> str:
    """Return it as a table for people."""
    rows = [("latency", bench.latency), *bench.stages.items()]
    rows += [(f"  {name}", summary) for name, summary in bench.segments.items()]
    width = max(len(name) for name, _ in rows)
    lines = [
        f"{bench.runs} runs, {bench.throughput:.1f} per second",
        " ".join([" " * width, *(f"{name:>9}" for name in Summary._fields)]) + "  [ms]",
    ]
    lines += [
        " ".join([f"{name:<{width}}", *(f"{value:9.3f}" for value in summary)])
        for name, summary in rows
    ]
    if bench.stages:
        lines.append("below latency: runs in which each copy and segment was waited for")
    return "\n".join(lines)
