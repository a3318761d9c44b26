# SPDX-License-Identifier: Apache-2.0
"""Plans one network on one board in one power mode, beside the alternatives to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edge_trt.placement.assignment import Cores
from edge_trt.placement.cost import BYTES, Machine
from edge_trt.placement.graph import Graph
from edge_trt.placement.labelling import cheapest, cut
from edge_trt.placement.problem import LATENCY, Labels, Problem, Weights, problem_of
from edge_trt.placement.regions import regions, too_large
from edge_trt.placement.rule import Precision
from edge_trt.placement.rules import LOADABLES, SLACK
from edge_trt.placement.streams import Stream, Throughput, best_mix, greatest

Objective = Literal["latency", "throughput", "energy"]
OBJECTIVES: tuple[Objective, ...] = ("latency", "throughput", "energy")

LIMIT = LOADABLES - SLACK
"""Loadables of an engine on one core."""

ALL_GPU, MIXED, DLA_ONLY = "all GPU", "GPU + DLA", "DLA only"
PIPELINE = "two cores as a pipeline"
"""What one core can't hold, shared between two. It is estimated and never chosen: it takes an
engine for each core, and a board builds one of a placement. Whole runs in turn on two cores, each
with all loadables, have the throughput of a balanced pipeline without a tensor between the cores.
"""
_INSTANT = 1e-9
"""Seconds of a network that only passes its inputs on."""
MOST_ON_DLA = Weights(1.0, 0.0, 0.0, 1.0)
"""As much on DLA as relieves the GPU."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Estimates of one alternative.

    Attributes:
        latency: seconds of a run that is alone.
        rate: inferences in a second when runs follow each other without a pause.
        energy: joules of an inference then, with its share of what the idle module takes.
        own: joules of an inference above those that the idle module takes anyway: what a board that
            is on for other reasons pays for it, at a given number of runs.
        loadables: of one core.
        transitions: tensors that pass between GPU and DLA in a run.
    """

    latency: float
    rate: float
    energy: float
    own: float
    loadables: int
    transitions: int


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to run the network.

    Attributes:
        name: `all GPU`, `GPU + DLA`, `two cores as a pipeline`, `DLA only`.
        labels: layers on DLA.
        cores: how two cores are used.
        figures: estimates; None where it is not possible.
        why: why it is not possible, or what to know of it.
        streams: what runs side by side for the greatest throughput.
        exact: whether the search proved that nothing is better under the model.
    """

    name: str
    labels: Labels = frozenset()
    cores: Cores = "one"
    figures: Figures | None = None
    why: str = ""
    streams: tuple[Stream, ...] = ()
    exact: bool = True


@dataclass(frozen=True, slots=True)
class ModePlan:
    """What is best in one power mode.

    Attributes:
        mode: its name.
        chosen: one of the alternatives.
        alternatives: all that were considered.
        problem: what they were judged by.
    """

    mode: str
    chosen: Alternative
    alternatives: tuple[Alternative, ...]
    problem: Problem


@dataclass(frozen=True, slots=True)
class Question:
    """What is planned.

    Attributes:
        graph: the layers.
        precisions: what each computes in.
        allowed: layers that a DLA takes.
        border: layers at inputs and outputs that move nothing; `DLA only` leaves them out.
        cores: DLA cores.
        batch: inferences of a run.
        objective: what is best.
        only: whether everything has to be on DLA.
        obstacle: the first reason why something is not, for `DLA only`.
        limit: loadables that a core may hold of it.
    """

    graph: Graph
    precisions: Sequence[Precision]
    allowed: Labels
    border: Labels
    cores: int
    batch: int
    objective: Objective
    only: bool = False
    obstacle: str = ""
    limit: int = LIMIT


def plan(question: Question, machine: Machine) -> ModePlan:
    """The best alternative and the others, in the mode of the machine."""
    for _ in range(4):  # a loadable that is too large gives its layers back
        found = _plan(question, machine)
        too_much = _oversized(question, found)
        if not too_much:
            return found
        question = replace(question, allowed=question.allowed - too_much)
    return _plan(replace(question, allowed=frozenset()), machine)


def in_mode(question: Question, machine: Machine, planned: ModePlan) -> ModePlan:
    """The same alternatives in another mode, and which of them is best there."""
    problem = problem_of(question.graph, machine, question.precisions, question.allowed)
    planner = _Planner(question, machine, problem)
    alternatives = tuple(planner.again(a) for a in planned.alternatives)
    return _chosen(question, machine, problem, alternatives)


def _plan(question: Question, machine: Machine) -> ModePlan:
    problem = problem_of(question.graph, machine, question.precisions, question.allowed)
    planner = _Planner(question, machine, problem)
    alternatives = (planner.all_gpu(), planner.mixed(), *planner.pipeline(), planner.dla_only())
    return _chosen(question, machine, problem, alternatives)


def _chosen(
    question: Question, machine: Machine, problem: Problem, alternatives: tuple[Alternative, ...]
) -> ModePlan:
    possible = [a for a in alternatives if a.figures is not None and a.cores != "pipeline"]
    if question.only and alternatives[-1].figures is not None:
        possible = [alternatives[-1]]
    chosen = min(possible, key=_Planner(question, machine, problem).badness)
    return ModePlan(machine.mode.name, chosen, alternatives, problem)


def _oversized(question: Question, found: ModePlan) -> Labels:
    width = max((BYTES[p] for p in question.precisions), default=1)
    placements = {found.chosen.labels, *(stream.labels for stream in found.chosen.streams)}
    parts = [part for labels in placements for part in regions(found.problem, labels)]
    return frozenset(i for part in parts if too_large(found.problem, part, width) for i in part)


class _Planner:
    """The alternatives of one question."""

    def __init__(self, question: Question, machine: Machine, problem: Problem) -> None:
        self._question = question
        self._machine = machine
        self._problem = problem
        self._limit = question.limit
        # A cut takes 50 us a layer: large graphs get no more tries where the limit binds.
        self._effort = 1000 // max(1, len(problem.gpu)) * 4 if len(problem.gpu) <= 300 else 0

    def badness(self, alternative: Alternative) -> tuple[float, int]:
        """What is to be small; of equals the one with fewer layers on DLA."""
        figures = alternative.figures
        assert figures is not None
        values = {
            "latency": figures.latency, "throughput": -figures.rate, "energy": figures.own,
        }  # fmt: skip
        return values[self._question.objective], len(alternative.labels)

    def all_gpu(self) -> Alternative:
        """Nothing on DLA."""
        return self._alternative(ALL_GPU, frozenset())

    def dla_only(self) -> Alternative:
        """Everything on DLA but what moves nothing at the border."""
        every = frozenset(range(len(self._problem.gpu)))
        labels = self._question.allowed
        if not labels or every - labels - self._question.border:
            return Alternative(DLA_ONLY, why=self._question.obstacle or "no layer is for DLA")
        if not self._fits(labels):
            return Alternative(DLA_ONLY, why=f"more than {self._limit} loadables on a core (G5)")
        return self._alternative(DLA_ONLY, labels)

    def pipeline(self) -> tuple[Alternative, ...]:
        """What two cores could hold, where that is more than one can; else nothing."""
        idle = self._problem.gpu_busy(frozenset()) < _INSTANT
        if self._question.cores < 2 or not self._question.allowed or idle:
            return ()
        whole = self._question.objective == "throughput"
        weights = MOST_ON_DLA if whole else self._weights()
        if self._fits(cut(self._problem, weights)):
            return ()
        found = cheapest(self._problem, weights, 2 * self._limit, self._effort)
        if self._fits(found.labels):
            return ()
        why = "not built: an engine runs on one core, which holds fewer loadables (G5)"
        return (self._alternative(PIPELINE, found.labels, why=why, exact=found.exact),)

    def mixed(self) -> Alternative:
        """What is cheapest of all placements; the best with DLA where that has none."""
        if not self._question.allowed:
            return Alternative(MIXED, why=self._question.obstacle or "no layer is for DLA")
        if self._problem.gpu_busy(frozenset()) < _INSTANT:
            return Alternative(MIXED, why="there is nothing to compute")
        if self._question.objective == "throughput":
            return self._streams()
        found = cheapest(self._problem, self._weights(), self._limit, self._effort)
        if found.labels:
            return self._alternative(MIXED, found.labels, exact=found.exact)
        most = cheapest(self._problem, MOST_ON_DLA, self._limit, 0)
        if not most.labels:
            return Alternative(MIXED, why="no loadable is worth its transitions")
        why = f"the mix with most on DLA: none is better than {ALL_GPU} in the planned mode"
        return self._alternative(MIXED, most.labels, why=why, exact=most.exact)

    def _weights(self) -> Weights:
        if self._question.objective == "latency":
            return LATENCY
        gpu, dla = self._machine.gpu_watts, self._machine.dla_watts
        return Weights(gpu, dla, 0.0, gpu, self._machine.product_watts)

    def _fits(self, labels: Labels) -> bool:
        return len(regions(self._problem, labels)) <= self._limit

    def _streams(self) -> Alternative:
        """GPU and cores together, with one or two placements that share them."""

        def best(limit: int) -> Throughput:
            return greatest(
                self._problem,
                self._question.cores,
                lambda weights: cheapest(self._problem, weights, limit, self._effort),
            )

        mix = best(self._limit)
        if sum(len(regions(self._problem, s.labels)) for s in mix.streams) > self._limit:
            # A core holds the loadables of both: fewer in each, or one of them beside the GPU.
            gpu = [best_mix(self._problem, self._question.cores, [s.labels, frozenset()])
                   for s in mix.streams]  # fmt: skip
            fewer = best(self._limit // 2)
            mix = max(fewer, *(Throughput(streams) for streams in gpu), key=lambda m: m.rate)
            mix = replace(mix, exact=False)
        with_dla = max(mix.streams, key=lambda stream: len(stream.labels))
        if not with_dla.labels:
            most = cheapest(self._problem, MOST_ON_DLA, self._limit, 0)
            with_dla = Stream(most.labels, 0.0)
        single = self._alternative(MIXED, with_dla.labels, exact=mix.exact)
        return self._side_by_side(single, mix.streams)

    def again(self, other: Alternative) -> Alternative:
        """An alternative of another mode with the figures of this one."""
        if other.figures is None:
            return other
        single = self._alternative(other.name, other.labels, why=other.why, exact=other.exact)
        if not other.streams:
            return single
        placements = [stream.labels for stream in other.streams]
        mix = best_mix(self._problem, self._question.cores, [*placements, frozenset()])
        return self._side_by_side(single, mix)

    def _side_by_side(self, single: Alternative, streams: tuple[Stream, ...]) -> Alternative:
        """Throughput and energy of streams, with the latency of the one on DLA."""
        if single.figures is None or len(streams) == 1:
            return single
        watts = self._machine.idle_watts + sum(s.rate * self._joules(s.labels) for s in streams)
        rate = sum(s.rate for s in streams) * self._question.batch
        loadables = sum(len(regions(self._problem, s.labels)) for s in streams)
        figures = replace(single.figures, rate=rate, energy=watts / rate, loadables=loadables)
        return replace(single, figures=figures, streams=streams)

    def _joules(self, labels: Labels) -> float:
        """Of a run, above idle."""
        machine, problem = self._machine, self._problem
        gpu = problem.gpu_busy(labels) * machine.gpu_watts
        gpu += problem.multiplying(labels) * machine.product_watts
        return gpu + problem.dla_busy(labels) * machine.dla_watts

    def _alternative(
        self, name: str, labels: Labels, *, why: str = "", exact: bool = True
    ) -> Alternative:
        parts = regions(self._problem, labels)
        cores: Cores = "one"
        if labels and self._question.cores > 1:
            cores = "split" if len(parts) <= self._limit else "pipeline"
        busy, gpu = self._core_busy(parts, cores), self._problem.gpu_busy(labels)
        runs = 1 / max(busy, gpu, _INSTANT)
        latency = self._problem.cost(labels)
        joules, batch = self._joules(labels), self._question.batch
        idle = self._machine.idle_watts
        figures = Figures(
            latency=latency,
            rate=runs * batch,
            energy=(joules + idle / runs) / batch,
            own=joules / batch,
            loadables=len(parts)
            if cores != "pipeline"
            else len(stages(self._problem, parts, self._limit)[0]),
            transitions=self._problem.transitions(labels),
        )
        return Alternative(name, labels, cores, figures, why, exact=exact)

    def _core_busy(self, parts: list[list[int]], cores: Cores) -> float:
        """Seconds of the busiest core in a run, on average."""
        total = sum(self._problem.dla[i] for part in parts for i in part)
        if cores == "split":
            return total / self._question.cores
        if cores == "one":
            return total
        first = {i for part in stages(self._problem, parts, self._limit)[0] for i in part}
        there = sum(self._problem.dla[i] for i in first)
        return max(there, total - there)


def stages(
    problem: Problem, parts: list[list[int]], limit: int = LIMIT
) -> tuple[list[list[int]], list[list[int]]]:
    """Loadables of two cores that form a pipeline: the split in order that is best balanced.

    Each core gets at most its limit of loadables.
    """
    weights = [sum(problem.dla[i] for i in part) for part in parts]
    most = max(limit, -(-len(parts) // 2))
    places = [n for n in range(len(parts) + 1) if n <= most and len(parts) - n <= most]
    at = min(places, key=lambda n: max(sum(weights[:n]), sum(weights[n:])))
    return parts[:at], parts[at:]
