# SPDX-License-Identifier: Apache-2.0
"""One arena for all values: offsets such that no two values that may live at once overlap."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FEW = 6
"""Values of which every order is tried: 720 of them take 20 milliseconds at most."""

ALIGNMENT = 256
"""Bytes. TensorRT wants it of every address, and PyTorch gives it."""


class Layout(NamedTuple):
    """Where values lie in an arena.

    Attributes:
        size: Bytes of the arena.
        offsets: By slot.
        unshared: Bytes that an arena without sharing would have.
    """

    size: int
    offsets: dict[int, int]
    unshared: int


class MemoryPlan(NamedTuple):
    """Bytes that a run in flight takes.

    Attributes:
        device: Of device memory: values between segments, and what segments need while they run.
        unshared: What ``device`` would be if no two values had the same place.
        scratch: The part of ``device`` that segments need.
        pinned: Of page-locked memory on the host.
        frames: How many runs may be in flight.
    """

    device: int
    unshared: int
    scratch: int
    pinned: int
    frames: int


def plan_memory(
    sizes: Mapping[int, int], uses: Mapping[int, Sequence[int]], before: Sequence[int]
) -> Layout:
    """Give every value a place, each in the smallest gap that holds it.

    The largest come first. Where that needs more than what lives at the same time, other orders
    are tried, of few values all of them.

    Args:
        sizes: Bytes by slot.
        uses: By slot: the operation that writes the value, then those that read it.
        before: From :func:`edge_trt_runtime.hybrid.schedule.orders`.

    Returns:
        Offsets, all multiples of :data:`ALIGNMENT`.
    """
    rounded = {slot: aligned(sizes[slot]) for slot in uses}
    best = _place(sorted(uses, key=lambda slot: (-rounded[slot], slot)), rounded, uses, before)
    if best.size > _most_at_once(rounded, uses):
        layouts = (_place(order, rounded, uses, before) for order in _orders(rounded, uses))
        best = min(best, *layouts, key=lambda layout: layout.size)
    return best


def _most_at_once(rounded: Mapping[int, int], uses: Mapping[int, Sequence[int]]) -> int:
    """Return what no arena can be smaller than: all that is between its first and last use."""
    spans = {slot: (min(found), max(found)) for slot, found in uses.items()}
    return max(
        (
            sum(rounded[slot] for slot, (low, high) in spans.items() if low <= operation <= high)
            for operation, _ in spans.values()
        ),
        default=0,
    )


def _orders(
    rounded: Mapping[int, int], uses: Mapping[int, Sequence[int]]
) -> Iterable[Sequence[int]]:
    """Return other orders: all of up to ``FEW`` values, of more by their lives."""
    if len(uses) <= FEW:
        return permutations(uses)
    spans = {slot: max(found) - min(found) + 1 for slot, found in uses.items()}
    return (
        sorted(uses, key=lambda slot: (-rounded[slot] * spans[slot], slot)),
        sorted(uses, key=lambda slot: (-spans[slot], -rounded[slot], slot)),
        sorted(uses, key=lambda slot: (min(uses[slot]), -rounded[slot], slot)),
    )


def _place(
    order: Sequence[int],
    rounded: Mapping[int, int],
    uses: Mapping[int, Sequence[int]],
    before: Sequence[int],
) -> Layout:
    """Place values one after the other."""
    placed: dict[int, int] = {}
    for slot in order:
        taken = sorted(
            (offset, offset + rounded[other])
            for other, offset in placed.items()
            if not _apart(uses[slot], uses[other], before)
        )
        placed[slot] = _best_gap(taken, rounded[slot])
    size = max((offset + rounded[slot] for slot, offset in placed.items()), default=0)
    return Layout(size, placed, sum(rounded.values()))


def _apart(one: Sequence[int], other: Sequence[int], before: Sequence[int]) -> bool:
    """Whether the last use of one value is surely over when the other is written."""
    return _over(one, other[0], before) or _over(other, one[0], before)


def _over(uses: Sequence[int], writer: int, before: Sequence[int]) -> bool:
    return all(before[writer] >> use & 1 for use in uses)


def _best_gap(taken: Sequence[tuple[int, int]], size: int) -> int:
    """Return the start of the tightest gap of at least ``size``, or the end of what is taken."""
    best: tuple[int, int] | None = None
    end = 0
    for start, stop in taken:
        room = start - end
        if room >= size and (best is None or room < best[0]):
            best = (room, end)
        end = max(end, stop)
    return end if best is None else best[1]


def aligned(size: int) -> int:
    """Round up to the alignment; an empty value still has an address of its own."""
    return max(1, -(-size // ALIGNMENT)) * ALIGNMENT
