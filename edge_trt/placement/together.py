# SPDX-License-Identifier: Apache-2.0
"""Several networks of a bundle are in memory together: a core holds the loadables of all (G5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge_trt.placement.place import Placed
from edge_trt.placement.planner import LIMIT


def within_a_core(planners: Sequence[Callable[[int], Placed]]) -> list[Placed]:
    """The plans of networks that together keep the limit of a core.

    Args:
        planners: one for each network: the plan with at most so many loadables.
    """
    found = [plan(LIMIT) for plan in planners]
    room = shares([plan.loadables for plan in found])
    return [
        there if there.loadables <= most else plan(most)
        for plan, there, most in zip(planners, found, room, strict=True)
    ]


def shares(wanted: Sequence[int], limit: int = LIMIT) -> list[int]:
    """How many loadables each network gets: what it wants, or what is left in equal parts.

    Args:
        wanted: by network.
        limit: of all together.
    """
    given = [0] * len(wanted)
    for rank, n in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        given[n] = min(wanted[n], (limit - sum(given)) // (len(wanted) - rank))
    return given
