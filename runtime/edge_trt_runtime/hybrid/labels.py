# SPDX-License-Identifier: Apache-2.0
"""What operations of a run are called: by a watchdog, in a profiler, in a timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_trt_runtime.timing import slot_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_trt_runtime.hybrid.prepared import Prepared
    from edge_trt_runtime.hybrid.schedule import Op


def name_of(prepared: Prepared, op: Op) -> str:
    """Return the name of an operation's segment or value."""
    if op.kind == "segment":
        return prepared.plan.steps[op.subject].segment.name
    return slot_names(prepared.plan).get(op.subject, "")


def label_of(prepared: Prepared, ops: Iterable[Op], frame: int) -> str:
    """Return what some operations of a lane are: ``upload 'x', segment 's0' on gpu (frame 0)``."""
    ops = [*ops]
    named = [op for op in ops if op.kind not in ("meet", "finish")]
    work = ", ".join(f"{op.kind} {name_of(prepared, op)!r}" for op in named)
    return f"{work or ops[0].kind} on {ops[0].lane} (frame {frame})"


def label_of_wait(prepared: Prepared, number: int, frame: int) -> str:
    """Return what it is to wait for an operation: for all that its lane has to do until then."""
    ops = prepared.schedule.ops
    queued = [op for op in ops[: number + 1] if op.lane == ops[number].lane]
    return f"wait for {label_of(prepared, queued, frame)}"
