# SPDX-License-Identifier: Apache-2.0
"""Asks every rule about every layer of a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from edge_trt.network.graph import Network, Node
from edge_trt.network.layers import Activation
from edge_trt.placement.regimes import Regime
from edge_trt.placement.rule import Generation, Precision, Rule, Situation, Verdict
from edge_trt.placement.rules import rules_for
from edge_trt.placement.sizes import data


def judge(
    network: Network,
    *,
    generation: Generation,
    tensorrt: tuple[int, ...],
    regime: Regime = "weak",
    precision: Precision = "int8",
    scales: Mapping[str, float] | None = None,
) -> dict[str, Verdict]:
    """What the rules say of every layer, by its name.

    Args:
        network: without quantization layers (`without_quantization`).
        generation: of the DLA.
        tensorrt: version as numbers.
        regime: how TensorRT serves the DLA.
        precision: what the network is compiled to.
        scales: int8 steps by tensor name; None before calibration: every tensor will have one.
    """
    if scales is None:
        scales = EveryScale()
    situation = Situation(network, generation, tensorrt, regime, precision, scales, network.users())
    return {node.name: verdict(node, situation) for node in network.nodes}


def verdict(node: Node, situation: Situation) -> Verdict:
    """What the rules say of one layer: the first that it breaks, or the doubts that are left."""
    where = ", ".join(filter(None, [node.origin.module, node.origin.source]))
    doubts: list[str] = []
    precision = precision_of(node, situation)
    for rule in _asked(node, situation):
        value = rule.breaks(node, situation)
        if value is None:
            continue
        if rule.refuses:
            return Verdict(node.name, node.layer.kind, where, rule, value, precision)
        doubts.append(rule.id)
    return Verdict(node.name, node.layer.kind, where, precision=precision, doubts=tuple(doubts))


def precision_of(node: Node, situation: Situation) -> Precision:
    """What a layer computes in on the DLA: int8 where every tensor around it has a scale."""
    if situation.precision == "fp16":
        return "fp16"
    if isinstance(node.layer, Activation) and node.layer.type in ("SIGMOID", "TANH"):
        return "fp16"  # promoted inside of the DLA
    scaled = all(t.name in situation.scales for t in data(node) if t.dtype.is_float)
    return "int8" if scaled else "fp16"


def _asked(node: Node, situation: Situation) -> Iterable[Rule]:
    return (r for r in rules_for(type(node.layer)) if situation.generation in r.generations)


class EveryScale(Mapping[str, float]):
    """Scales before calibration: every tensor has one, and those that must agree do."""

    def __getitem__(self, name: str) -> float:
        return 1.0

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0
