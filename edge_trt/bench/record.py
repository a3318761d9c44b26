# SPDX-License-Identifier: Apache-2.0
"""What one measurement says. Files of it are JSON; times are in ms unless a name says else."""

from __future__ import annotations

import os
from collections.abc import Iterator
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


class Lane(msgspec.Struct, frozen=True):
    """A lane of a bundle: a DLA core, or the GPU.

    Attributes:
        name: as of `edge_trt_runtime.Pool`.
        stream: which of the bundle's placements.
        places: where each segment runs.
        alone: saturated, while the others were idle.
        together: saturated, while the others were too; without energy.
    """

    name: str
    stream: int
    places: dict[str, str]
    alone: Load
    together: Load


class Lanes(msgspec.Struct, frozen=True):
    """Lanes alone and together.

    Attributes:
        each: the lanes.
        total: all of them together as one load, with its energy.
    """

    each: list[Lane]
    total: Load


class Reading(msgspec.Struct, frozen=True):
    """One look at the board, for charts: seconds since the start, and what was told."""

    seconds: float
    watts: float | None = None
    rails: dict[str, float] = {}
    temperature: float | None = None
    gpu_hz: int | None = None
    gpu_load: float | None = None
    cpu_load: float | None = None


class Repeat(msgspec.Struct, frozen=True):
    """The loads of a further session: the bundle was loaded anew for it."""

    single: Load
    saturated: Load


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
        lanes: where the bundle has several here: each alone, and all at once.
        readings: of the board while all this ran.
        repeats: what further sessions gave, which tell how much runs differ from one another.
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
    lanes: Lanes | None = None
    repeats: list[Repeat] = []

    @property
    def sessions(self) -> list[Repeat]:
        """The loads of every session, those of the first included."""
        return [Repeat(self.single, self.saturated), *self.repeats]

    def as_dict(self) -> dict[str, Any]:
        """JSON values, with trtexec's summary beside ours."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        on_host = not self.places or "host" in self.places.values()
        names = {key: name for key, name in TRTEXEC.items() if key != "compute" or not on_host}
        values["trtexec"] = {
            "Throughput": self.single.throughput,
            "Latency": self.single.latency.trtexec(),
            **{names[key]: s.trtexec() for key, s in self.stages.items() if key in names},
        }
        return values


TRTEXEC = {"H2D": "H2D Latency", "compute": "GPU Compute Time", "D2H": "D2H Latency"}
"""trtexec's names of stages; what the processor computed too is no time of a GPU."""


class Joint(msgspec.Struct, frozen=True, kw_only=True):
    """Several bundles, measured one by one and then at once.

    Attributes:
        bundles: the record of each.
        together: the load of each while the others ran too; without energy.
        total: all of them as one load, with its energy.
    """

    schema: int = SCHEMA
    bundles: list[Record]
    together: list[Load]
    total: Load

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        records = [record.as_dict() for record in self.bundles]
        return {**msgspec.to_builtins(self), "bundles": records}


def write(record: Record | Joint, path: str) -> None:
    """Writes a record.

    Raises:
        EdgeTrtError: the file can't be written.
    """
    write_whole(path, msgspec.json.format(msgspec.json.encode(record.as_dict()), indent=1))


def read(path: str | os.PathLike[str]) -> Record | Joint:
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
        head = msgspec.json.decode(data, type=dict[str, Any])
        if head.get("schema") != SCHEMA:
            raise EdgeTrtError(
                f"{os.fspath(path)!r} has schema {head.get('schema')!r}, and this edge_trt reads "
                f"{SCHEMA}",
                hint="measure again with edge_trt bench --json",
            )
        record = msgspec.json.decode(data, type=Joint if "bundles" in head else Record)
        for load in _loads(record):
            if load.seconds <= 0 or not load.blocks or min(b.seconds for b in load.blocks) <= 0:
                raise msgspec.ValidationError("it holds no runs")
        if isinstance(record, Joint) and not len(record.bundles) == len(record.together) > 0:
            raise msgspec.ValidationError("its bundles and loads are not as many")
        return record
    except msgspec.DecodeError as error:
        raise EdgeTrtError(
            f"{os.fspath(path)!r} is no record of edge_trt bench: {error}",
            hint="edge_trt bench BUNDLE --json FILE writes one",
        ) from error


def _loads(record: Record | Joint) -> Iterator[Load]:
    if isinstance(record, Joint):
        yield from (*record.together, record.total)
        for one in record.bundles:
            yield from _loads(one)
        return
    yield from (load for one in record.sessions for load in (one.single, one.saturated))
    if record.lanes is not None:
        yield record.lanes.total
        yield from (load for lane in record.lanes.each for load in (lane.alone, lane.together))
