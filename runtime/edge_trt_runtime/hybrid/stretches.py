# SPDX-License-Identifier: Apache-2.0
"""Which operations of a schedule can be captured together as one CUDA graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from edge_trt_runtime.hybrid.schedule import Op

LANE = "gpu"
"""The only lane that graphs hold: DLA work can't be captured."""


def find_stretches(
    ops: Sequence[Op], capturable: Collection[int], loose: Collection[int] = ()
) -> Iterator[range]:
    """Yield stretches of neighbouring operations on the GPU with a segment among them.

    A stretch waits for other lanes only at its start, and others wait only for its end: an event
    recorded inside a graph is no event outside it.

    Args:
        ops: The schedule.
        capturable: Numbers of the steps whose segments a graph may hold.
        loose: Numbers of operations that no graph may hold.
    """
    start: int | None = None
    for number, op in enumerate([*ops, None]):
        fits = op is not None and number not in loose and _fits(op, capturable)
        if start is not None and (op is None or not fits or op.waits or ops[number - 1].signals):
            if any(ops[i].kind == "segment" for i in range(start, number)):
                yield range(start, number)
            start = None
        if fits and start is None:
            start = number


def _fits(op: Op, capturable: Collection[int]) -> bool:
    return op.lane == LANE and (op.kind != "segment" or op.subject in capturable)
