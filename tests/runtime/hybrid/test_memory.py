# SPDX-License-Identifier: Apache-2.0
"""The arena against the best that trying every order finds."""

from __future__ import annotations

import random
from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_trt_runtime.hybrid.memory import ALIGNMENT, plan_memory


def spans(seed: int) -> tuple[dict[int, int], dict[int, list[int]], list[int]]:
    """Up to six values of a run in one lane: sizes, first and last use, what is over before."""
    draw = random.Random(seed)
    count = draw.randint(1, 6)
    uses = {}
    for slot in range(count):
        first = draw.randrange(8)
        uses[slot] = [first, draw.randint(first, 8)]
    sizes = {slot: ALIGNMENT * draw.randint(0, 8) for slot in range(count)}
    return sizes, uses, [(1 << number) - 1 for number in range(9)]


def least(sizes: dict[int, int], uses: dict[int, list[int]]) -> int:
    """The smallest arena: some order of putting values as low as they go gives it."""

    def size_of(order: tuple[int, ...]) -> int:
        placed: dict[int, tuple[int, int]] = {}
        for slot in order:
            offset = 0
            for start, end in sorted(
                placed[other]
                for other in placed
                if uses[other][0] <= uses[slot][1] and uses[slot][0] <= uses[other][1]
            ):
                if offset + sizes[slot] <= start:
                    break
                offset = max(offset, end)
            placed[slot] = (offset, offset + sizes[slot])
        return max(end for _, end in placed.values())

    return min(size_of(order) for order in permutations(sizes))


@settings(max_examples=150)
@given(seed=st.integers(0, 10**9))
def test_the_arena_of_few_values_is_the_smallest(seed: int) -> None:
    sizes, uses, before = spans(seed)
    layout = plan_memory(sizes, uses, before)
    rounded = {slot: max(ALIGNMENT, size) for slot, size in sizes.items()}
    assert all(offset % ALIGNMENT == 0 for offset in layout.offsets.values())
    for one, a in uses.items():
        for other, b in uses.items():
            if one < other and a[0] <= b[1] and b[0] <= a[1]:
                low, high = layout.offsets[one], layout.offsets[other]
                assert low + rounded[one] <= high or high + rounded[other] <= low
    best = least(rounded, uses)
    assert layout.size == best
    assert layout.unshared == sum(rounded.values())


def test_a_chain_needs_two_places() -> None:
    sizes = dict.fromkeys(range(10), 1000)
    uses = {slot: [slot, slot + 1] for slot in range(10)}
    layout = plan_memory(sizes, uses, [(1 << number) - 1 for number in range(11)])
    assert layout.size == 2 * 1024
    assert layout.unshared == 10 * 1024


def test_what_nothing_orders_shares_nothing() -> None:
    sizes = dict.fromkeys(range(4), 1000)
    layout = plan_memory(sizes, {slot: [slot] for slot in range(4)}, [0, 0, 0, 0])
    assert layout.size == layout.unshared == 4 * 1024
