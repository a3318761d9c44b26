# SPDX-License-Identifier: Apache-2.0
"""Networks of one bundle share the loadables that a core holds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from edge_trt.network.graph import Network
from edge_trt.network.layers import Unary
from edge_trt.placement.place import FULL, Placed, Wish, planned
from edge_trt.placement.planner import LIMIT, Objective
from edge_trt.placement.together import shares, within_a_core
from tests.placement.test_place import site
from tests.precision.networks import Net

DEPTH = 3

ROWS = [
    ((), 14, []),
    ((3, 4), 14, [3, 4]),
    ((20,), 14, [14]),
    ((20, 20), 14, [7, 7]),
    ((20, 2), 14, [12, 2]),
    ((10, 3, 10), 14, [5, 3, 6]),
    ((1, 1, 1), 2, [0, 1, 1]),
    ((0, 5), 3, [0, 3]),
]


@pytest.mark.parametrize(("wanted", "limit", "given"), ROWS)
def test_what_each_gets(wanted: tuple[int, ...], limit: int, given: list[int]) -> None:
    assert shares(wanted, limit) == given


def broken_up(parts: int) -> Network:
    """Convolutions with something between that no DLA takes."""
    net = Net()
    x = net.input(1, 64, 64, 64)
    for _ in range(parts):
        for _ in range(DEPTH):
            x = net.activation("RELU", net.conv(x, 64))
        x = net.network.add(Unary("ERF"), x)
    return net.done(x)


def plans(sizes: Sequence[int], objective: Objective, mode: str = "15W") -> list[Placed]:
    here, wish = site(mode=mode), Wish("auto", objective, "int8")

    def plan(network: Network, limit: int) -> Placed:
        return planned(network, here, wish, limit=limit)

    return within_a_core([partial(plan, broken_up(parts)) for parts in sizes])


@pytest.mark.parametrize(
    ("sizes", "loadables"),
    [
        ((9,), [9]), ((20,), [14]), ((9, 9), [7, 7]), ((20, 2), [12, 2]),
        ((1,) * (LIMIT + 2), [0, 0, *[1] * LIMIT]),
    ],
)  # fmt: skip
def test_together_they_keep_the_limit(sizes: tuple[int, ...], loadables: list[int]) -> None:
    found = plans(sizes, "energy")
    assert [plan.loadables for plan in found] == loadables
    for plan in found:
        assert (plan.modes[0].alternatives[-1].why == FULL) == (plan.loadables == 0)


@pytest.mark.parametrize(
    ("sizes", "mode", "loadables"),
    [
        ((3, 3), "MAXN", [[3, 2], [3, 2]]),
        ((4, 4, 4), "MAXN", [[4, 0], [4, 0], [4, 0]]),
        ((9,), "15W", [[9, 0]]),  # both with 7 would give less
    ],
)
def test_streams_count_together(
    sizes: tuple[int, ...], mode: str, loadables: list[list[int]]
) -> None:
    found = plans(sizes, "throughput", mode)
    counts = [sorted((a.loadables for a, _ in plan.streams), reverse=True) for plan in found]
    assert counts == loadables
    assert sum(plan.loadables for plan in found) <= LIMIT
