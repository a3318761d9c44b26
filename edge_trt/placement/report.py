# SPDX-License-Identifier: Apache-2.0
"""A placement as JSON values: `placement.json` of a bundle.

    {"estimates": "...", "targets": {"agx-orin-64gb": {
        "board", "tensorrt", "l4t", "regime", "reason", "certain", "policy", "objective", "mode",
        "unsure": [...], "assumes": "", "rewritten": {layer: recipe},
        "networks": [{"assignment": {...}, "layers": {"gpu": 3, "dla:0": 120},
                      "refused": [...], "doubts": [...], "modes": [...],
                      "streams": [{"runs_per_second": 1500, "assignment": {...}}]}]}}}

A target where nothing is placed has no networks, and neither board nor versions; with the policy
`off` it was wanted so. The wish stays there, so that a board that has DLA can follow it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from edge_trt.options import CompileOptions
from edge_trt.placement.place import Placed, Wish
from edge_trt.placement.planner import Alternative, ModePlan
from edge_trt.placement.regimes import Decision
from edge_trt.placement.rule import Verdict
from edge_trt.placement.rules import rule
from edge_trt.placement.site import Site

WEIGHTED = ("Convolution", "Deconvolution")
"""Kinds that are far slower in fp16 on the DLA of Orin."""
ESTIMATES = (
    "All figures are estimates by the cost model of docs/dla.md, fitted to published throughput; "
    "nothing was measured. The board builds by its own answers (canRunOnDLA)."
)

EVERY_STEP = "every tensor has an int8 scale, which the calibration of a build with --dla gives"


def report(targets: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The whole file, from what `of_site` and `without_dla` gave by target."""
    return {"estimates": ESTIMATES, "targets": dict(targets)}


def without_dla(
    decision: Decision, options: CompileOptions, rewritten: Mapping[str, str], reason: str = ""
) -> dict[str, Any]:
    """What is said of a target where nothing is placed.

    Args:
        decision: why it has no DLA.
        options: what was wished for.
        rewritten: recipe by the name of each layer that was rewritten nevertheless.
        reason: another reason, where it has.
    """
    return {
        "regime": decision.regime,
        "reason": reason or decision.reason,
        "certain": decision.certain,
        "policy": options.dla,
        "objective": options.dla_objective,
        "mode": options.dla_mode or "",
        "rewritten": dict(rewritten),
        "networks": [],
    }


def of_site(
    site: Site,
    wish: Wish,
    networks: Sequence[Placed],
    rewritten: Mapping[str, str],
    *,
    finished: bool = False,
    calibrated: bool = True,
) -> dict[str, Any]:
    """What is said of a target with DLA.

    Args:
        site: where it is.
        wish: what was asked for.
        networks: their plans.
        rewritten: recipe by the name of each rewritten layer.
        finished: whether the networks are those of a bundle, which are not rewritten any more.
        calibrated: whether int8 steps are those of a calibration, and not only expected.
    """
    mode = site.caps.modes[site.mode]
    return {
        "board": site.board.title,
        "tensorrt": site.tensorrt,
        "l4t": site.l4t,
        "regime": site.decision.regime,
        "reason": site.decision.reason,
        "certain": site.decision.certain,
        "policy": wish.policy,
        "objective": wish.objective,
        "mode": site.mode,
        "unsure": [*site.caps.unsure, *mode.unsure],
        "assumes": "" if calibrated else EVERY_STEP,
        "rewritten": dict(rewritten),
        "networks": [_network(placed, finished=finished) for placed in networks],
    }


def _network(placed: Placed, *, finished: bool) -> dict[str, Any]:
    assignment = placed.assignment
    devices = Counter(assignment.devices.values())
    best = placed.modes[0]
    allowed = sum(v.allowed for v in placed.verdicts.values())
    return {
        "network": assignment.network,
        "layers": {device: devices[device] for device in ("gpu", "dla:0", "dla:1")},
        "not_worth_it": allowed - len(placed.labels),
        "without_scale": _without_scale(placed),
        "not_rewritten": _recipes(placed) if finished else 0,
        "loadables": assignment.loadables,
        "exact": best.chosen.exact,
        "chosen": best.chosen.name,
        "refused": _refused(placed.verdicts.values()),
        "doubts": _doubts(v for v in placed.verdicts.values() if v.layer in placed.labels),
        "modes": [_mode(mode) for mode in placed.modes],
        "assignment": assignment.as_dict(),
        "streams": [
            {"runs_per_second": _digits(rate), "assignment": other.as_dict()}
            for other, rate in placed.streams
        ],
    }


def _without_scale(placed: Placed) -> int:
    """How many layers of an int8 network that a DLA takes would compute in fp16 there (G10)."""
    if placed.assignment.precision != "int8":
        return 0
    found = placed.verdicts.values()
    return sum(v.allowed and v.precision == "fp16" and v.kind in WEIGHTED for v in found)


def _recipes(placed: Placed) -> int:
    """How many refused layers a DLA may take in another form."""
    found = placed.verdicts.values()
    return sum(v.rule is not None and bool(v.rule.recipe) for v in found)


def _refused(verdicts: Any) -> list[dict[str, Any]]:
    """Refusals by rule, the most frequent first, with the first example of each."""
    groups: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.rule is not None:
            groups.setdefault(verdict.rule.id, []).append(verdict)
    found = sorted(groups.values(), key=lambda group: -len(group))
    return [_group(group) for group in found]


def _group(group: Sequence[Verdict]) -> dict[str, Any]:
    first = group[0]
    assert first.rule is not None
    return {
        "rule": first.rule.id,
        "attribute": first.rule.attribute,
        "value": str(first.value),
        "limit": first.rule.limit,
        "source": first.rule.source,
        "certain": first.rule.certain,
        "count": len(group),
        "first": first.sentence,
        "example": f"{first.layer} ({first.where})" if first.where else first.layer,
        "fix": first.rule.fix,
        "layers": [verdict.layer for verdict in group],
    }


def _doubts(verdicts: Any) -> list[dict[str, Any]]:
    """Layers on DLA that an uncertain source allows, by rule."""
    groups: dict[str, list[str]] = {}
    for verdict in verdicts:
        for name in verdict.doubts:
            groups.setdefault(name, []).append(verdict.layer)
    return [
        {
            "rule": name,
            "attribute": rule(name).attribute,
            "source": rule(name).source,
            "count": len(layers),
            "first": layers[0],
        }
        for name, layers in groups.items()
    ]


def _mode(mode: ModePlan) -> dict[str, Any]:
    return {
        "mode": mode.mode,
        "best": mode.chosen.name,
        "alternatives": [_alternative(a) for a in mode.alternatives],
    }


def _alternative(alternative: Alternative) -> dict[str, Any]:
    figures = alternative.figures
    if figures is None:
        return {"name": alternative.name, "why": alternative.why}
    return {
        "name": alternative.name,
        "why": alternative.why,
        "layers_on_dla": len(alternative.labels),
        "cores": alternative.cores,
        "loadables": figures.loadables,
        "transitions": figures.transitions,
        "latency_ms": _digits(figures.latency * 1e3),
        "per_second": _digits(figures.rate),
        "joules_saturated": _digits(figures.energy),
        "joules_own": _digits(figures.own),
        "streams": [
            {"layers_on_dla": len(s.labels), "runs_per_second": _digits(s.rate)}
            for s in alternative.streams
        ],
    }


def _digits(number: float) -> float:
    """Three digits: an estimate has no more."""
    return float(f"{number:.3g}")
