# SPDX-License-Identifier: Apache-2.0
"""What one operation of a run took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_trt_runtime.plan import Plan


class Timing(NamedTuple):
    """An operation of a run in which each was waited for before the next one began.

    Attributes:
        kind: ``segment``, ``stage`` (into page-locked memory), ``upload`` or ``download``.
        lane: Where it ran: ``host``, ``gpu``, ``dla:0``, ``dla:1``.
        name: Of the segment, or of the value that is copied.
        start: Seconds since the run began, when it was queued.
        end: When it was over, had it begun at once: of a device the time between two events.
    """

    kind: str
    lane: str
    name: str
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start


def trace_events(timings: Sequence[Timing]) -> dict[str, Any]:
    """Return timings as Chrome's and Perfetto's trace format, a row per lane, in microseconds."""
    return {
        "displayTimeUnit": "ms",
        "traceEvents": [
            {
                "ph": "X",
                "pid": "edge_trt",
                "tid": timing.lane,
                "cat": timing.kind,
                "name": f"{timing.kind} {timing.name}".strip(),
                "ts": timing.start * 1e6,
                "dur": timing.seconds * 1e6,
            }
            for timing in timings
        ],
    }


def slot_names(plan: Plan) -> dict[int, str]:
    """Return the name of the value in every slot that a step reads or writes."""
    names: dict[int, str] = {}
    for step in plan.steps:
        names.update(zip(step.inputs, step.segment.inputs, strict=True))
        names.update(zip(step.outputs, step.wanted, strict=True))
    return names
