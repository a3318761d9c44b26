# SPDX-License-Identifier: Apache-2.0
"""The cheapest cut of a directed graph between a source and a sink (Dinic's algorithm)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterable

_TINY = 1e-12  # of a second: less is rounding


class FlowGraph:
    """Edges with capacities; a cut costs the capacities of the edges that lead out of its side."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._edges: list[list[int]] = []
        self._heads: list[int] = []
        self._room: list[float] = []

    def add(self, tail: Hashable, head: Hashable, capacity: float) -> None:
        """Adds an edge; infinity is allowed. Edges are numbered from 0 in the order of adding."""
        for end, start, room in ((head, tail, capacity), (tail, head, 0.0)):
            self._edges[self._number(start)].append(len(self._heads))
            self._heads.append(self._number(end))
            self._room.append(room)

    def refill(self, capacities: Iterable[float]) -> None:
        """Gives every edge a new capacity, in the order of adding, and takes all flow away."""
        room = self._room
        for number, capacity in enumerate(capacities):
            room[2 * number] = capacity
            room[2 * number + 1] = 0.0

    def sink_side(self, source: Hashable, sink: Hashable) -> set[Hashable]:
        """The nodes on the sink's side of a cheapest cut, as few as possible.

        The finite edges must be able to part the two.
        """
        first, last = self._number(source), self._number(sink)
        while (levels := self._levels(first))[last] >= 0:
            progress = [0] * len(self._edges)
            while self._push(first, last, levels, progress) > 0:
                pass
        reached = self._reaching(last)
        return {name for name, number in self._numbers.items() if reached[number]}

    def _number(self, name: Hashable) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self._edges)
            self._edges.append([])
        return self._numbers[name]

    def _levels(self, first: int) -> list[int]:
        """Distance from the source over edges with room; -1 where there is no way."""
        levels = [-1] * len(self._edges)
        levels[first] = 0
        queue = deque([first])
        while queue:
            node = queue.popleft()
            for edge in self._edges[node]:
                head = self._heads[edge]
                if self._room[edge] > _TINY and levels[head] < 0:
                    levels[head] = levels[node] + 1
                    queue.append(head)
        return levels

    def _push(self, first: int, last: int, levels: list[int], progress: list[int]) -> float:
        """Sends as much as fits along one shortest way; 0 when there is none left."""
        way: list[int] = []
        node = first
        while node != last:
            edges = self._edges[node]
            while progress[node] < len(edges):
                edge = edges[progress[node]]
                head = self._heads[edge]
                if self._room[edge] > _TINY and levels[head] == levels[node] + 1:
                    break
                progress[node] += 1
            else:
                if not way:
                    return 0.0
                node = self._heads[way.pop() ^ 1]
                progress[node] += 1
                continue
            way.append(edge)
            node = head
        amount = min((self._room[edge] for edge in way), default=math.inf)
        for edge in way:
            self._room[edge] -= amount
            self._room[edge ^ 1] += amount
        return amount

    def _reaching(self, last: int) -> list[bool]:
        """Which nodes reach the sink over edges with room."""
        reached = [False] * len(self._edges)
        reached[last] = True
        queue = deque([last])
        while queue:
            for edge in self._edges[queue.popleft()]:
                tail = self._heads[edge]
                if self._room[edge ^ 1] > _TINY and not reached[tail]:
                    reached[tail] = True
                    queue.append(tail)
        return reached
