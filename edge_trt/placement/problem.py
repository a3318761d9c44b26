# SPDX-License-Identifier: Apache-2.0
"""The planner's question in numbers: what each layer costs on either side, and each hop.

What a placement costs is defined here once (`Problem.cost`); the planner finds the cheapest and
tests compare it with every other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from edge_trt.placement.cost import Machine
from edge_trt.placement.graph import Graph, Value
from edge_trt.placement.rule import Precision

Labels = frozenset[int]
"""Numbers of the layers that run on DLA."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What a second of each resource counts.

    Attributes:
        gpu: of the GPU at work.
        dla: of a DLA core at work.
        hop: of waiting for a tensor to pass.
        reformat: of the GPU while it reformats that tensor; it is part of the waiting.
        product: of the GPU while it multiplies; it is part of its work.
    """

    gpu: float
    dla: float
    hop: float
    reformat: float
    product: float = 0.0


LATENCY = Weights(1.0, 1.0, 1.0, 0.0)
"""Layers run one after the other, and hops are waited for."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Seconds of every layer and value.

    Attributes:
        graph: the layers and values.
        gpu: seconds on the GPU.
        dla: seconds on a DLA core, infinity for what it does not take.
        hop: seconds until a value has passed between GPU and DLA.
        reformat: seconds of the GPU in that.
        product: seconds of `gpu` that are multiplications; none where that does not matter.
        preceding: the layers before each layer.
        cache: what a solver keeps from one question to the next.
    """

    graph: Graph
    gpu: Sequence[float]
    dla: Sequence[float]
    hop: Sequence[float]
    reformat: Sequence[float]
    product: Sequence[float] = ()
    preceding: list[list[int]] = field(default_factory=list[list[int]])
    cache: dict[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)

    def __post_init__(self) -> None:
        """Notes the layers before each layer."""
        object.__setattr__(self, "preceding", self.graph.predecessors())

    @property
    def allowed(self) -> Labels:
        """The layers that a DLA takes."""
        return frozenset(i for i, seconds in enumerate(self.dla) if seconds < inf)

    def gpu_busy(self, labels: Labels) -> float:
        """Seconds of the GPU in one run: its layers, and what it reformats."""
        layers = sum(s for i, s in enumerate(self.gpu) if i not in labels)
        return layers + sum(self.reformat[v] * count for v, count in self.crossings(labels).items())

    def dla_busy(self, labels: Labels) -> float:
        """Seconds of a DLA core in one run."""
        return sum(self.dla[i] for i in labels)

    def waiting(self, labels: Labels) -> float:
        """Seconds of hops in one run."""
        return sum(self.hop[v] * count for v, count in self.crossings(labels).items())

    def transitions(self, labels: Labels) -> int:
        """How many tensors pass between GPU and DLA, or between loadables of other batches."""
        return sum(self.crossings(labels).values())

    def crossings(self, labels: Labels) -> dict[int, int]:
        """How often each value passes, by its number; those that do not pass are left out."""
        found: dict[int, int] = {}
        for number in range(len(self.graph.values)):
            count = self.passes(number, labels)
            if count:
                found[number] = count
        return found

    def touching(self, layer: int) -> list[int]:
        """Numbers of the values that a layer reads or gives."""
        if "touching" not in self.cache:
            lists: list[list[int]] = [[] for _ in self.gpu]
            for number, value in enumerate(self.graph.values):
                for i in {value.producer, *value.readers} - {-1}:
                    lists[i].append(number)
            self.cache["touching"] = lists
        return self.cache["touching"][layer]

    def passes(self, number: int, labels: Labels) -> int:
        """How often a value passes."""
        value = self.graph.values[number]
        same, other = self.readers(number)
        if value.producer in labels:
            left = value.output or not labels.issuperset(same)
            return int(left) + len(other)
        entered = not labels.isdisjoint(same)
        return int(entered) + sum(r in labels for r in other)

    def readers(self, number: int) -> tuple[list[int], list[int]]:
        """Readers of a value of the batch of its producer, and those of another batch (G6)."""
        if "readers" not in self.cache:
            self.cache["readers"] = [self._readers(value) for value in self.graph.values]
        return self.cache["readers"][number]

    def _readers(self, value: Value) -> tuple[list[int], list[int]]:
        if value.producer < 0:
            return list(value.readers), []
        works = self.graph.works
        batch = works[value.producer].batch
        same = [r for r in value.readers if works[r].batch == batch]
        return same, [r for r in value.readers if works[r].batch != batch]

    def cost(self, labels: Labels, weights: Weights = LATENCY) -> float:
        """What a placement costs; infinity if a DLA does not take a layer of it."""
        layers = sum(
            weights.dla * self.dla[i] if i in labels else self.on_gpu(i, weights)
            for i in range(len(self.gpu))
        )
        return layers + sum(
            count * self.passing(v, weights) for v, count in self.crossings(labels).items()
        )

    def on_gpu(self, layer: int, weights: Weights) -> float:
        """What a layer costs on the GPU."""
        product = self.product[layer] if self.product else 0.0
        return weights.gpu * self.gpu[layer] + weights.product * product

    def multiplying(self, labels: Labels) -> float:
        """Seconds in which the GPU multiplies in one run."""
        return sum(s for i, s in enumerate(self.product) if i not in labels)

    def passing(self, number: int, weights: Weights) -> float:
        """What it costs that a value passes once."""
        return weights.hop * self.hop[number] + weights.reformat * self.reformat[number]


def problem_of(
    graph: Graph, machine: Machine, precisions: Sequence[Precision], allowed: Iterable[int]
) -> Problem:
    """The question for a board in a power mode.

    Args:
        graph: the layers.
        machine: board and mode.
        precisions: what each layer computes in.
        allowed: numbers of the layers that a DLA takes.
    """
    takes = set(allowed)
    pairs = list(zip(graph.works, precisions, strict=True))
    gpu = [machine.gpu_seconds(work, precision) for work, precision in pairs]
    dla = [
        machine.dla_seconds(work, precision) if i in takes else inf
        for i, (work, precision) in enumerate(pairs)
    ]
    outer: Precision = "fp16"
    widths: list[Precision] = [
        precisions[v.producer] if v.producer >= 0 else outer for v in graph.values
    ]
    pass_by = list(zip(graph.values, widths, strict=True))
    return Problem(
        graph, gpu, dla,
        [machine.hop_seconds(value.elements, width) for value, width in pass_by],
        [machine.reformat_seconds(value.elements, width) for value, width in pass_by],
        [machine.gpu_product_seconds(work, precision) for work, precision in pairs],
    )  # fmt: skip
