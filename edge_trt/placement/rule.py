# SPDX-License-Identifier: Apache-2.0
"""What a rule of the DLA is: a predicate on one layer with its limit and its source.

Rules are necessary and not sufficient: the DLA compiler also refuses by internal limits (G14), so
that the board asks `canRunOnDLA` about what is planned here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from edge_trt.network.graph import Network, Node, Tensor
from edge_trt.network.layer import Layer
from edge_trt.placement.regimes import Regime

Generation = Literal[1, 2]
"""1 is that of Xavier, 2 that of Orin."""

Precision = Literal["int8", "fp16"]

BOTH: tuple[Generation, ...] = (1, 2)

SOURCES = {
    "header": "NvInfer.h of TensorRT 11.1 (open source components)",
    "docs-11": "TensorRT's documentation, versions 11.3 and 11.4",
    "docs-8": "TensorRT's documentation, versions 8.4 to 8.6",
    "dla-sw": "NVIDIA/Deep-Learning-Accelerator-SW: operator matrix, tools and notes",
    "samples": "trtexec and the samples of TensorRT",
    "issues": "messages of TensorRT in its users' reports",
    "unsure": "no source that could be read; taken as the safer reading",
}
"""What the tags of a rule's source stand for."""


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """What a layer is judged for.

    Attributes:
        network: the network around it, without quantization layers.
        generation: of the DLA.
        tensorrt: version as numbers.
        regime: how TensorRT serves the DLA.
        precision: what the network is compiled to.
        scales: step of int8 by tensor name, for those that have one.
        users: the layers that read each tensor.
    """

    network: Network
    generation: Generation
    tensorrt: tuple[int, ...]
    regime: Regime = "weak"
    precision: Precision = "int8"
    scales: Mapping[str, float] = field(default_factory=dict[str, float])
    users: Mapping[Tensor, list[Node]] = field(default_factory=dict[Tensor, list[Node]])


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit.

    Attributes:
        id: short name, as messages and the table show it.
        kinds: layer kinds that it is about; none means every kind.
        attribute: what is limited.
        limit: the values that are allowed.
        source: where it is written, tags of `SOURCES`.
        breaks: gives the value that breaks the limit, or None.
        fix: what the author of a model can do.
        certain: whether the source is explicit.
        generations: of the DLA that it holds for.
        recipe: name of the rewrite that removes the obstacle, or empty.
        refuses: False for a layer that is allowed by an uncertain source: it is planned, and
            marked as to be confirmed on the board.
    """

    id: str
    kinds: tuple[type[Layer], ...]
    attribute: str
    limit: str
    source: str
    breaks: Callable[[Node, Situation], object]
    fix: str = ""
    certain: bool = True
    generations: tuple[Generation, ...] = BOTH
    recipe: str = ""
    refuses: bool = True


@dataclass(frozen=True, slots=True)
class Statement:
    """A rule about a whole loadable or engine, which the planner or the emission keeps.

    Attributes:
        id: `G5` and so on.
        text: what holds.
        source: tags of `SOURCES`.
        kept_by: what keeps it.
        certain: whether the source is explicit.
    """

    id: str
    text: str
    source: str
    kept_by: str
    certain: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of one layer.

    Attributes:
        layer: name of the layer.
        kind: its kind, as `Convolution`.
        where: module path and source line, or nothing.
        rule: the rule that refuses it, None when it is allowed.
        value: what the layer has in place of an allowed value.
        precision: what it would compute in on the DLA, and what the GPU can.
        doubts: ids of uncertain rules that allow it.
    """

    layer: str
    kind: str
    where: str
    rule: Rule | None = None
    value: object = None
    precision: Precision = "int8"
    doubts: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether no rule refuses it."""
        return self.rule is None

    @property
    def sentence(self) -> str:
        """Why it is refused and what helps; empty when it is allowed."""
        if self.rule is None:
            return ""
        where = f" ({self.where})" if self.where else ""
        fix = f": {self.rule.fix}" if self.rule.fix else ""
        return (
            f"{self.layer}{where} is not for DLA by {self.rule.id}: {self.kind} has "
            f"{self.rule.attribute} {self.value}, allowed is {self.rule.limit}{fix}"
        )
