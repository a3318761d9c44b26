# SPDX-License-Identifier: Apache-2.0
"""A placement where it is built: on the board, by the TensorRT that is there.

The plan of the bundle is followed where the board is as the host expected it. Where its TensorRT is
another one, it offers fewer cores, or the plan was for another board, layers are placed again for
what is there, by the same wish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from edge_trt.bundle.bundle import Bundle
from edge_trt.engines.board import this_board
from edge_trt.engines.tensorrt import Flavour
from edge_trt.engines.tensorrt.dla import OnDla
from edge_trt.errors import BuildError
from edge_trt.network.graph import Network
from edge_trt.network.layers import Dequantize, Quantize
from edge_trt.options import CompileOptions
from edge_trt.placement.assignment import Assignment
from edge_trt.placement.build import rewrites
from edge_trt.placement.implicit import in_float32, without_quantization
from edge_trt.placement.place import batch_of
from edge_trt.placement.planner import LIMIT
from edge_trt.placement.regimes import Decision
from edge_trt.placement.side_by_side import assignments, rates_of
from edge_trt.placement.site import Site, site_of
from edge_trt.placement.step import Placement, int8_steps
from edge_trt.precision import Patterns, to_fp16
from edge_trt_jetson import boards
from edge_trt_jetson.versions import numbers


@dataclass(frozen=True, slots=True)
class Form:
    """What one engine of a network is built from.

    Attributes:
        network: in the form that the regime of the DLA takes.
        dla: what of it goes to a DLA; None is nothing.
        stream: which of the placements that run side by side it is.
        rate: how often the stream runs in a second by the plan; None where there is one only.
    """

    network: Network
    dla: OnDla | None = None
    stream: int = 1
    rate: float | None = None


@dataclass(slots=True)
class OnBoard:
    """What a board builds in place of the networks of a bundle.

    Attributes:
        forms: by network, one for each engine of it; a network that is built as it is has none.
        remarks: sentences on what is not as planned.
    """

    forms: dict[str, list[Form]] = field(default_factory=dict[str, list[Form]])
    remarks: list[str] = field(default_factory=list[str])


def on_board(
    bundle: Bundle, finished: Sequence[Network], target: str, flavour: Flavour, offered: int | None
) -> OnBoard:
    """What to build for a target on the board that this is.

    Args:
        bundle: with its placement; one that was planned again is put into it.
        finished: its networks as they are built for the GPU.
        target: name of the board.
        flavour: the TensorRT that is here.
        offered: DLA cores that it offers; None where it can't be asked.

    Raises:
        BuildError: everything was to be on DLA, and there is none.
        OptionError: there is one, and it can't take everything.
    """
    wish = _wish(bundle, target)
    if wish is None or not finished:
        return OnBoard()
    own: Mapping[str, Any] = bundle.placement["targets"].get(target, {})
    found = this_board()
    site = site_of(
        target, mode=wish.dla_mode, tensorrt=flavour.version,
        l4t=found.l4t if found else None, offered=offered,
    )  # fmt: skip
    if isinstance(site, Decision) and wish.dla == "only":
        raise BuildError(
            f"dla='only' can't be here: {site.reason}", hint="build it with --dla auto"
        )
    result, plan = OnBoard(), own
    too_many = _loadables(own) > LIMIT
    if not own.get("networks") or isinstance(site, Decision) or too_many or _differs(own, site):
        plan = _again(bundle, wish, site)
        result.remarks += _what_changed(bundle, own, plan)
        targets = {**bundle.placement["targets"], target: plan}
        bundle.placement = {**bundle.placement, "targets": targets}
    ready = {network.name: network for network in finished}
    rates = rates_of(plan["networks"], {n.name: batch_of(n) for n in finished})
    for entry in plan["networks"]:
        streams = assignments(entry)
        for number, assignment in enumerate(streams, 1):
            name = assignment.network
            rate = rates[number - 1] if len(streams) > 1 else None
            network, dla = ready[name], None
            if assignment.loadables:
                network, dla = _on_dla(bundle, assignment, network, plan["policy"])
            result.forms.setdefault(name, []).append(Form(network, dla, number, rate))
    return result


def _wish(bundle: Bundle, target: str) -> CompileOptions | None:
    """What was wished for a board, or else for the others; None where nothing is to be placed."""
    targets: Mapping[str, Mapping[str, Any]] = bundle.placement["targets"]
    own = targets.get(target, {})
    wishes = [t for t in targets.values() if t.get("policy") not in (None, "off")]
    wish = own if "policy" in own else next(iter(wishes), None)
    if boards.find(target) is None or wish is None or wish["policy"] == "off":
        return None
    return replace(
        bundle.options, target=target, dla=wish["policy"], dla_objective=wish["objective"],
        dla_mode=own.get("mode") or None,  # that of another board may not exist here
    )  # fmt: skip


def _differs(planned: Mapping[str, Any], site: Site) -> bool:
    assignments = [Assignment.from_dict(entry["assignment"]) for entry in planned["networks"]]
    cores = max((1 if a.cores == "one" else 2 for a in assignments if a.loadables), default=0)
    return (
        planned["regime"] != site.decision.regime
        or numbers(planned["tensorrt"])[:3] != site.version[:3]
        or cores > site.decision.cores
    )


def _loadables(planned: Mapping[str, Any]) -> int:
    """How many a core would hold, with those of all networks and streams.

    Older plans may have too many: for networks one by one, or for two cores as a pipeline.
    """
    return sum(a.loadables for entry in planned.get("networks", ()) for a in assignments(entry))


def _again(bundle: Bundle, wish: CompileOptions, site: Site | Decision) -> Mapping[str, Any]:
    """The placement for what is here. Rewrites stay as they are: int8 was measured with them."""
    (target,) = wish.targets
    recipes = {target: rewrites(bundle.placement, target)}
    placement = Placement(wish, recipes, sites={target: site}, finished=True)
    return placement.place(bundle.networks, bundle.ranges)["targets"][target]


def _what_changed(bundle: Bundle, own: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    """One sentence on a plan that takes the place of another, or none if they say the same."""
    reason = plan["reason"]
    if not plan["networks"]:
        same = not own.get("networks") and own.get("reason") == reason
        return [] if same else [f"everything runs on the GPU: {reason}"]
    if own.get("networks") and _loadables(own) > LIMIT:
        before = f"for {_loadables(own)} loadables, and {LIMIT} are planned for a core"
    elif own.get("networks"):
        before = f"for TensorRT {own['tensorrt']}, and here is {plan['tensorrt']}"
    elif own:
        before = f"without DLA, since {own['reason']}"
    else:
        others = bundle.placement["targets"].values()
        names = [other["board"] for other in others if other["networks"]]
        if not names:
            return [f"layers are placed for {plan['board']}: {reason}"]
        before = f"for {' and '.join(names)}, and this is {plan['board']}"
    return [f"layers are placed again: the plan was {before}: {reason}"]


def _on_dla(
    bundle: Bundle, assignment: Assignment, finished: Network, policy: str
) -> tuple[Network, OnDla]:
    """The form of one network, and what of it goes to the DLA."""
    layers = {name for name, device in assignment.devices.items() if device != "gpu"}
    insist = policy == "only"
    if assignment.regime != "weak":
        around = _quantization_around(finished, layers)
        return finished, OnDla(frozenset(layers | around), weak=False, insist=insist)
    (source,) = (n for n in bundle.networks if n.name == assignment.network)
    if bundle.options.precision == "int8":
        network, scales = without_quantization(source)
        steps = int8_steps(network, bundle.ranges, many=len(bundle.networks) > 1)
        scales = {**steps, **scales}
    else:
        network, scales = in_float32(source), {}
    rules = Patterns(cast("tuple[str, ...]", bundle.options.fp32_layers))
    exact = {kept.layer for kept in to_fp16(network, keep_fp32=rules)[1]}
    return network, OnDla(
        frozenset(layers), insist=insist, scales=scales, float32=frozenset(exact - layers)
    )


def _quantization_around(network: Network, layers: set[str]) -> set[str]:
    """Quantize and Dequantize layers next to layers on the DLA: they are part of these there."""
    found: set[str] = set()
    users = network.users()
    for node in network.nodes:
        if isinstance(node.layer, (Quantize, Dequantize)):
            producers = [t.producer for t in node.inputs if t.producer is not None]
            readers = [user for t in node.outputs for user in users.get(t, [])]
            if any(other.name in layers for other in (*producers, *readers)):
                found.add(node.name)
    return found
