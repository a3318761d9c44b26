# SPDX-License-Identifier: Apache-2.0
"""What one measurement says. Files of it are JSON; times are in ms unless a name says else."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from edge_trt.bench.result_file import write_whole
from edge_trt_runtime.errors import EdgeTrtError

SCHEMA = 1

PERCENTILES = ("p90", "p95", "p99")


class Summary(msgspec.Struct, frozen=True):
    """Of times in milliseconds."""

    min: float
    mean: float
    median: float
    p90: float
    p95: float
    p99: float
    max: float

    def trtexec(self) -> dict[str, float]:
        """The same under the names that trtexec prints."""
        names = {f"percentile({p[1:]}%)": getattr(self, p) for p in PERCENTILES}
        return {
            "min": self.min, "max": self.max, "mean": self.mean, "median": self.median, **names,
        }  # fmt: skip


class Block(msgspec.Struct, frozen=True):
    """Consecutive runs: how many, what they took together in seconds, and their median latency.

    Neighbours in time are alike, so what a measurement is worth is told by blocks, not by runs.
    """

    runs: int
    seconds: float
    median: float


class Energy(msgspec.Struct, frozen=True):
    """Energy per run in joules with its standard uncertainty, and mean power in watts.

    Attributes:
        joules: of the whole board, per run.
        uncertainty: standard uncertainty of that; None with too few readings to tell.
        watts: mean power of the whole board.
        rails: mean power by rail, in watts.
        missing: seconds without readings.
    """

    joules: float
    uncertainty: float | None
    watts: float
    rails: dict[str, float]
    missing: float = 0.0


class Load(msgspec.Struct, frozen=True):
    """Runs under one load.

    Attributes:
        callers: how many threads call at once.
        runs: how many in all.
        seconds: how long it took.
        latency: of a run.
        blocks: of consecutive runs.
        energy: None where the machine tells no power.
    """

    callers: int
    runs: int
    seconds: float
    latency: Summary
    blocks: list[Block]
    energy: Energy | None = None

    @property
    def throughput(self) -> float:
        """Runs per second."""
        return self.runs / self.seconds


class Reading(msgspec.Struct, frozen=True):
    """One look at the board, for charts: seconds since the start, and what was told."""

    seconds: float
    watts: float | None = None
    rails: dict[str, float] = {}
    temperature: float | None = None
    gpu_hz: int | None = None
    gpu_load: float | None = None
    cpu_load: float | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of one bundle.

    Attributes:
        bundle: name, precision, and the digest of its manifest.
        places: where each segment runs.
        machine: what stays: board, versions, processor.
        conditions: what may change: power mode, clocks, temperatures, memory.
        doubts: what makes the figures worth less, one sentence each.
        load_ms: opening the bundle and loading its engines.
        first_ms: the first run.
        single: one caller: each run begins when the one before has ended.
        saturated: so many callers that the device is never idle.
        stages: of runs in which each operation was waited for, by trtexec's names.
        segments: likewise, by segment.
        readings: of the board while all this ran.
    """

    schema: int = SCHEMA
    date: str
    bundle: dict[str, str]
    places: dict[str, str]
    machine: dict[str, str]
    conditions: dict[str, str]
    doubts: list[str]
    load_ms: float
    first_ms: float
    single: Load
    saturated: Load
    stages: dict[str, Summary]
    segments: dict[str, Summary]
    readings: list[Reading]

    def as_dict(self) -> dict[str, Any]:
        """JSON values, with trtexec's summary beside ours."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        values["trtexec"] = {
            "Throughput": self.single.throughput,
            "Latency": self.single.latency.trtexec(),
            **{TRTEXEC[name]: s.trtexec() for name, s in self.stages.items() if name in TRTEXEC},
        }
        return values


TRTEXEC = {"H2D": "H2D Latency", "compute": "GPU Compute Time", "D2H": "D2H Latency"}
"""trtexec's names of stages."""


def write(record: Record, path: str) -> None:
    """Writes a record.

    Raises:
        EdgeTrtError: the file can't be written.
    """
    write_whole(path, msgspec.json.format(msgspec.json.encode(record.as_dict()), indent=1))


def read(path: str | os.PathLike[str]) -> Record:
    """Reads a record.

    Raises:
        EdgeTrtError: it can't be read, is none, or is of another version.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise EdgeTrtError(f"{os.fspath(path)!r} can't be read ({error.strerror})") from error
    try:
        schema = msgspec.json.decode(data, type=dict[str, Any]).get("schema")
        if schema != SCHEMA:
            raise EdgeTrtError(
                f"{os.fspath(path)!r} has schema {schema!r}, and this edge_trt reads {SCHEMA}",
                hint="measure again with edge_trt bench --json",
            )
        record = msgspec.json.decode(data, type=Record)
        for load in (record.single, record.saturated):
            if load.seconds <= 0 or not load.blocks or min(b.seconds for b in load.blocks) <= 0:
                raise msgspec.ValidationError("it holds no runs")
        return record
    except msgspec.DecodeError as error:
        raise EdgeTrtError(
            f"{os.fspath(path)!r} is no record of edge_trt bench: {error}",
            hint="edge_trt bench BUNDLE --json FILE writes one",
        ) from error
