# SPDX-License-Identifier: Apache-2.0
"""Which lanes a bundle has on this machine: one for each DLA core, one for the GPU."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from edge_trt_runtime.devices import find_device
from edge_trt_runtime.hybrid.schedule import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.hybrid.place import Place
    from edge_trt_runtime.manifest import Engine
    from edge_trt_runtime.session import Session


class Lane(NamedTuple):
    """How a lane of a pool loads the bundle.

    Attributes:
        stream: Which of the bundle's placements, as of :func:`edge_trt_runtime.load`.
        dla_core: Core of the plans that run on a DLA, likewise.
        device: GPU or CPU, likewise; None is the pool's.
        rate: Runs per second, which batches are split by; None is what the bundle was planned for.
    """

    stream: int = 1
    dla_core: int | None = None
    device: str | None = None
    rate: float | None = None


class LaneInfo(NamedTuple):
    """A lane of a pool.

    Attributes:
        name: Such as ``gpu``, ``dla:0`` or ``cpu``; no two lanes of a pool have the same.
        stream: Which of the bundle's placements.
        places: Where its segments run, as of :attr:`edge_trt_runtime.Session.places`.
        rate: Runs per second that it counts for.
        runs: How many it has done; those that failed don't count.
        broken: Why it takes no runs any more; empty while it does.
        session: What runs there.
    """

    name: str
    stream: int
    places: list[Place]
    rate: float
    runs: int
    broken: str
    session: Session


class OpenLane:
    """A lane with its session; what changes is the queue's."""

    __slots__ = ("in_flight", "name", "rate", "retired", "room", "runs", "session", "stream")

    def __init__(self, name: str, stream: int, session: Session, rate: float, room: int) -> None:
        """Begin idle; ``room`` is how many runs it has at once."""
        self.name, self.stream, self.session = name, stream, session
        self.rate, self.room = rate, room
        self.in_flight = self.runs = 0
        self.retired = False

    def info(self) -> LaneInfo:
        """Say how it is now."""
        session = self.session
        return LaneInfo(
            self.name, self.stream, session.places, self.rate, self.runs, session.broken, session
        )


def lanes_here(bundle: OpenBundle, device: str) -> list[Lane]:
    """Return the lanes that a bundle has on this machine; there is always one.

    Plans are only looked at; where one needs a DLA, TensorRT is asked how many cores it offers.

    Raises:
        EngineError: When a GPU that is named can't be used.
    """
    gpu = find_device(device)
    if gpu is None:
        return [Lane()]
    streams = sorted({1, *(engine.stream for engine in bundle.manifest.engines)})
    with gpu:
        return [lane for stream in streams for lane in _of_stream(bundle, gpu, stream)] or [Lane()]


def _of_stream(bundle: OpenBundle, gpu: Device, stream: int) -> Iterator[Lane]:
    """Give the lanes of a stream: none where its plans are for another machine."""
    from edge_trt_runtime.tensorrt.budget import PlanOptions
    from edge_trt_runtime.tensorrt.choice import find_plan, lane_of
    from edge_trt_runtime.tensorrt.engine import dla_cores

    networks = [s for s in bundle.manifest.segments if s.kind == "network"]
    found = [(s, find_plan(bundle, s, gpu, stream)) for s in networks]
    plans = [(segment, *plan) for segment, plan in found if not isinstance(plan, str)]
    own = [engine for _, engine, _ in plans if engine.stream == stream]
    if not own:
        return
    rate = _planned_rate(own)
    for segment, engine, library in plans:
        if lane_of(engine, segment, PlanOptions()).startswith("dla"):
            cores = dla_cores(library)
            for core in range(cores):
                yield Lane(stream, core, rate=None if rate is None else rate / cores)
            return
    yield Lane(stream, rate=rate)


def _planned_rate(engines: Sequence[Engine]) -> float | None:
    for engine in engines:
        rate = engine.details.get("runs_per_second")
        if isinstance(rate, (int, float)) and 0 < rate < math.inf:
            return float(rate)
    return None


def open_lanes(lanes: Sequence[Lane], sessions: Sequence[Session], room: int) -> list[OpenLane]:
    """Name lanes by where they run, and give those without a rate the mean of the others."""
    known = [lane.rate for lane in lanes if lane.rate is not None]
    usual = sum(known) / len(known) if known else 1.0
    opened: list[OpenLane] = []
    for lane, session in zip(lanes, sessions, strict=True):
        rate = usual if lane.rate is None else lane.rate
        name = _name(session, {other.name for other in opened})
        opened.append(OpenLane(name, lane.stream, session, rate, room))
    return opened


def on_cpu(session: Session) -> bool:
    """Whether nothing of a session runs on a device."""
    return all(place.lane == HOST for place in session.places)


def _name(session: Session, taken: set[str]) -> str:
    lanes = sorted({place.lane for place in session.places} - {HOST})
    dla = [lane for lane in lanes if lane.startswith("dla")]
    name = "+".join(dla or lanes) or "cpu"
    if name not in taken:
        return name
    return next(n for i in range(2, len(taken) + 3) if (n := f"{name} ({i})") not in taken)
