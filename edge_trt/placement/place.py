# SPDX-License-Identifier: Apache-2.0
"""Plans the networks of a model for a site, and rewrites what the plan needs in another form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edge_trt.network.graph import Network, Node
from edge_trt.network.layers import Cast, Identity, Shuffle
from edge_trt.placement.assignment import Assignment, Device, Region, everything_on_gpu
from edge_trt.placement.graph import describe
from edge_trt.placement.implicit import without_quantization
from edge_trt.placement.planner import (
    LIMIT,
    Alternative,
    ModePlan,
    Objective,
    Question,
    in_mode,
    plan,
)
from edge_trt.placement.problem import Labels
from edge_trt.placement.recipes import apply
from edge_trt.placement.regions import in_order
from edge_trt.placement.rule import Precision, Verdict
from edge_trt.placement.site import Site
from edge_trt.placement.verdicts import judge

ROUNDS = 4
"""How often rewrites that the plan leaves on the GPU are taken back."""
FULL = "other networks of the bundle fill the DLA cores with their loadables (G5)"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asks for.

    Attributes:
        policy: `auto`, or `only`: everything on DLA.
        objective: what is to be best.
        precision: what the networks are compiled to.
    """

    policy: str
    objective: Objective
    precision: Precision


@dataclass(frozen=True, slots=True)
class Placed:
    """The plan of one network.

    Attributes:
        assignment: the device of every layer.
        verdicts: what the rules say of every layer.
        modes: figures of every power mode, the planned one first.
        labels: the layers on DLA, by name.
        streams: for the greatest throughput, what runs side by side and how often in a second;
            `assignment` is among it. Empty where it runs alone.
    """

    assignment: Assignment
    verdicts: Mapping[str, Verdict]
    modes: tuple[ModePlan, ...]
    labels: frozenset[str]
    streams: tuple[tuple[Assignment, float], ...] = ()

    @property
    def loadables(self) -> int:
        """How many a core holds of it, with those of all streams."""
        both = {self.assignment, *(assignment for assignment, _ in self.streams)}
        return sum(assignment.loadables for assignment in both)

    @property
    def possible(self) -> bool:
        """Whether all of it can be on DLA."""
        last = self.modes[0].alternatives[-1]
        return last.figures is not None and not last.why


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A network in the form that its plan needs.

    Attributes:
        network: with the rewrites that joined a loadable.
        recipes: recipe by the name of each rewritten layer.
        whole: the alternative `DLA only` by mode, of the network with every rewrite.
    """

    network: Network
    recipes: Mapping[str, str]
    whole: Mapping[str, Alternative]


def rewritten(network: Network, site: Site, wish: Wish) -> Rewritten:
    """The network in the form that its plan needs, before int8 ranges are measured.

    A rewrite stays where the plan puts all that it makes on DLA, so that it joins a loadable; the
    others are taken back.

    Args:
        network: in fp32, without quantization layers.
        site: where it is to run.
        wish: what is asked for.
    """
    verdicts = _judged(network, site, wish, None)
    wanted = {n: v.rule.recipe for n, v in verdicts.items() if v.rule and v.rule.recipe}
    whole: dict[str, Alternative] = {}
    for _ in range(ROUNDS):
        if not wanted:
            break
        changed, made = apply(network, wanted)
        found = planned(changed, site, wish)
        whole = whole or {mode.mode: mode.alternatives[-1] for mode in found.modes}
        free = {node.name for node in changed.nodes if isinstance(node.layer, Shuffle)}
        kept = {n: wanted[n] for n, names in made.items() if set(names) - free <= found.labels}
        if kept == wanted:
            return Rewritten(changed, wanted, whole)
        wanted = kept
    changed, made = apply(network, wanted)
    recipes = {n: wanted[n] for n in made}
    return Rewritten(changed if made else network, recipes, whole)


def placed(
    network: Network,
    site: Site,
    wish: Wish,
    *,
    ranged: Mapping[str, float] | None = None,
    whole: Mapping[str, Alternative] | None = None,
    limit: int = LIMIT,
) -> Placed:
    """The plan of a finished network: of int8 with its quantization layers, or of fp16.

    Args:
        network: what is planned.
        site: where it is to run.
        wish: what is asked for.
        ranged: int8 steps of tensors that no layer reads in int8, as results of the network.
        whole: what `rewritten` said of it with every rewrite.
        limit: loadables that a core may hold of it.
    """
    plain, scales = without_quantization(network, values=False)
    found = planned(plain, site, wish, {**(ranged or {}), **scales}, limit)
    return with_whole(found, whole)


def with_whole(found: Placed, whole: Mapping[str, Alternative] | None) -> Placed:
    """A plan that says of `DLA only` what holds with every rewrite."""
    if found.possible or not whole:
        return found
    return replace(found, modes=tuple(_with_whole(m, whole.get(m.mode)) for m in found.modes))


def _with_whole(mode: ModePlan, other: Alternative | None) -> ModePlan:
    """A mode whose `DLA only` is that of the network with every rewrite."""
    if other is None:
        return mode
    if other.figures is not None:
        other = replace(other, why="with more rewrites, which --dla only makes")
    return replace(mode, alternatives=(*mode.alternatives[:-1], other))


def planned(
    network: Network,
    site: Site,
    wish: Wish,
    scales: Mapping[str, float] | None = None,
    limit: int = LIMIT,
) -> Placed:
    """The plan of a network without quantization layers.

    Args:
        network: what is planned.
        site: where it is to run.
        wish: what is asked for.
        scales: int8 steps by tensor; None before calibration: every tensor will have one.
        limit: loadables that a core may hold of it.
    """
    verdicts = _judged(network, site, wish, scales)
    nodes, graph = network.nodes, describe(network)
    allowed = frozenset(i for i, node in enumerate(nodes) if verdicts[node.name].allowed)
    border = _border(network)
    refused = [verdicts[n.name] for i, n in enumerate(nodes) if i not in allowed | border]
    question = Question(
        graph,
        [verdicts[node.name].precision for node in nodes],
        allowed if limit else frozenset(),
        border,
        site.decision.cores,
        batch_of(network),
        wish.objective,
        wish.policy == "only",
        _obstacle(refused) if limit else FULL,
        limit,
    )
    best = plan(question, site.machine())
    others = [mode for mode in site.caps.modes if mode != site.mode]
    modes = (best, *(in_mode(question, site.machine(mode), best) for mode in others))
    labels = best.chosen.labels
    names = frozenset(nodes[i].name for i in labels)
    streams = tuple(
        (_assignment(network, site, wish, best, verdicts, stream.labels), stream.rate)
        for stream in best.chosen.streams
    )
    whole = _assignment(network, site, wish, best, verdicts, labels)
    return Placed(whole, verdicts, modes, names, streams)


def _judged(
    network: Network, site: Site, wish: Wish, scales: Mapping[str, float] | None
) -> dict[str, Verdict]:
    before_fp16 = wish.precision == "fp16" and scales is None
    return judge(
        network,
        generation=site.generation,
        tensorrt=site.version,
        regime=site.decision.regime,
        # Before casts are there, float32 stands for fp16 as it does for int8.
        precision="int8" if before_fp16 else wish.precision,
        scales={} if before_fp16 else scales,
    )


def _border(network: Network) -> Labels:
    """Layers next to inputs and outputs that compute nothing: casts, and reshapes as they are."""
    users = network.users()
    numbered = {node.name: i for i, node in enumerate(network.nodes)}
    outputs = {id(t) for t in network.outputs}
    found: set[int] = set()
    for i, node in enumerate(network.nodes):
        producers = [t.producer for t in node.inputs if t.producer is not None]
        if _moves_nothing(node) and all(numbered[p.name] in found for p in producers):
            found.add(i)
    for i, node in reversed(list(enumerate(network.nodes))):
        readers = [n for t in node.outputs for n in users.get(t, [])]
        ends = any(id(t) in outputs for t in node.outputs) or bool(readers)
        if _moves_nothing(node) and ends and all(numbered[n.name] in found for n in readers):
            found.add(i)
    return frozenset(found)


def _moves_nothing(node: Node) -> bool:
    layer = node.layer
    if isinstance(layer, Shuffle):
        return layer.first_transpose is None and layer.second_transpose is None
    return isinstance(layer, (Cast, Identity))


def _obstacle(refused: Sequence[Verdict]) -> str:
    """Why not all of a network can be on DLA: how many layers, and the first of them."""
    if not refused:
        return ""
    count = Counter(v.rule.id for v in refused if v.rule)
    rules = ", ".join(f"{n} by {rule}" for rule, n in count.most_common())
    layers = "1 layer is" if len(refused) == 1 else f"{len(refused)} layers are"
    return f"{layers} refused ({rules}); the first: {refused[0].sentence}"


def batch_of(network: Network) -> int:
    """Inferences of one run: the leading size of the first input."""
    sizes = [t.shape[0] for t in network.inputs if t.rank > 1]
    return sizes[0] if sizes and isinstance(sizes[0], int) else 1


def _assignment(
    network: Network,
    site: Site,
    wish: Wish,
    best: ModePlan,
    verdicts: Mapping[str, Verdict],
    labels: Labels,
) -> Assignment:
    names = [node.name for node in network.nodes]
    regime = site.decision.regime
    if not labels:
        return everything_on_gpu(network.name, names, regime, wish.precision)
    parts: list[Region] = []
    for dla, part in in_order(best.problem, labels):
        device: Device = "dla:0" if dla else "gpu"
        layers = tuple(names[i] for i in part)
        wide = tuple(n for n in layers if verdicts[n].precision == "fp16")
        parts.append(Region(device, layers, wide if dla and wish.precision == "int8" else ()))
    return Assignment(network.name, regime, wish.precision, best.chosen.cores, tuple(parts))


__all__ = [
    "Placed",
    "Rewritten",
    "Wish",
    "batch_of",
    "placed",
    "planned",
    "rewritten",
    "with_whole",
]
