# SPDX-License-Identifier: Apache-2.0
"""The greatest throughput of GPU and DLA cores together: which placements run, and how often.

Runs of several placements share the accelerators: the GPU has one second in a second, the cores
have one each. That is a linear program over all placements, solved by generating columns: for the
prices of its dual, the placement that is worth most is a cheapest cut (`labelling`). Two placements
are enough, as there are two resources: usually all on the GPU, beside all on DLA.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations

from edge_trt.placement.labelling import Found
from edge_trt.placement.problem import Labels, Problem, Weights

_EPSILON = 1e-7  # relative: less is rounding
_MOST_COLUMNS = 24
_LARGE = 300  # layers: beyond that a gain below one percent is not looked for
_ROUGH, _FEW_COLUMNS = 0.01, 4


@dataclass(frozen=True, slots=True)
class Stream:
    """A placement that runs `rate` times in a second.

    Attributes:
        labels: the layers on DLA.
        rate: runs in a second.
    """

    labels: Labels
    rate: float


@dataclass(frozen=True, slots=True)
class Throughput:
    """What runs side by side.

    Attributes:
        streams: one or two placements with their rates.
        exact: whether no other placements give more.
    """

    streams: tuple[Stream, ...]
    exact: bool = True

    @property
    def rate(self) -> float:
        """Runs in a second, of all streams together."""
        return sum(stream.rate for stream in self.streams)


@dataclass(frozen=True, slots=True)
class _Column:
    labels: Labels
    gpu: float
    dla: float


def greatest(
    problem: Problem, cores: int, price: Callable[[Weights], Found], *, alone: bool = True
) -> Throughput:
    """The greatest throughput.

    Args:
        problem: the question.
        cores: DLA cores.
        price: gives the cheapest placement for weights; it keeps the limit of loadables.
        alone: whether runs that use the GPU alone may be among them.
    """
    columns: list[_Column] = [_column(problem, frozenset())] if alone else []
    exact = True
    if not alone:
        columns.append(_column(problem, price(Weights(1.0, 0.0, 0.0, 1.0)).labels))
    large = len(problem.gpu) > _LARGE
    enough = _ROUGH if large else _EPSILON
    for _ in range(_FEW_COLUMNS if large else _MOST_COLUMNS):
        gpu, dla = _prices(columns, cores)
        found = price(Weights(gpu, dla, 0.0, gpu))
        exact = exact and found.exact
        new = _column(problem, found.labels)
        worth = gpu * new.gpu + dla * new.dla
        if worth >= 1 - enough or any(c.labels == new.labels for c in columns):
            return Throughput(_shares(columns, cores), exact and worth >= 1 - _EPSILON)
        columns.append(new)
    return Throughput(_shares(columns, cores), exact=False)


def best_mix(problem: Problem, cores: int, placements: Iterable[Labels]) -> tuple[Stream, ...]:
    """The greatest throughput of given placements: one of them, or two side by side."""
    columns = [_column(problem, labels) for labels in dict.fromkeys(placements)]
    return _shares(columns, cores)


def _column(problem: Problem, labels: Labels) -> _Column:
    return _Column(labels, problem.gpu_busy(labels), problem.dla_busy(labels))


def _prices(columns: list[_Column], cores: int) -> tuple[float, float]:
    """The dual: prices of a second of the GPU and of a core, at which no column is worth more."""
    corners: list[tuple[float, float]] = []
    for c in columns:
        corners += [(1 / c.gpu, 0.0)] if c.gpu > 0 else []
        corners += [(0.0, 1 / c.dla)] if c.dla > 0 else []
    for a, b in combinations(columns, 2):
        determinant = a.gpu * b.dla - b.gpu * a.dla
        if determinant:
            corners.append(((b.dla - a.dla) / determinant, (a.gpu - b.gpu) / determinant))
    least = 1 - _EPSILON
    feasible = [
        (g, d)
        for g, d in corners
        if g >= 0 and d >= 0 and all(g * c.gpu + d * c.dla >= least for c in columns)
    ]
    return min(feasible, key=lambda corner: corner[0] + cores * corner[1])


def _shares(columns: list[_Column], cores: int) -> tuple[Stream, ...]:
    """The primal: the best single placement, or the best two together."""
    options: list[tuple[Stream, ...]] = []
    for c in columns:
        limits = [1 / c.gpu] if c.gpu > 0 else []
        limits += [cores / c.dla] if c.dla > 0 else []
        options.append((Stream(c.labels, min(limits)),))
    for a, b in combinations(columns, 2):
        determinant = a.gpu * b.dla - b.gpu * a.dla
        if not determinant:
            continue
        first = (b.dla - b.gpu * cores) / determinant
        second = (a.gpu * cores - a.dla) / determinant
        if first > 0 and second > 0:
            options.append((Stream(a.labels, first), Stream(b.labels, second)))
    return max(options, key=lambda streams: (sum(s.rate for s in streams), -len(streams)))
