# SPDX-License-Identifier: Apache-2.0
"""The placement of a bundle that is being built; what plans is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_trt.bundle.bundle import Bundle
    from edge_trt.engines.tensorrt import Flavour
    from edge_trt.network.graph import Network
    from edge_trt.options import CompileOptions
    from edge_trt.placement.native import OnBoard
    from edge_trt.placement.step import Placement


def start(bundle: Bundle, options: CompileOptions) -> Placement:
    """Brings layers into a form that a DLA takes, where the plan puts them on one.

    Raises:
        OptionError: everything was to be on DLA, and can't be.
    """
    from edge_trt.placement.step import Placement

    placement = Placement(options)
    for part in bundle.parts:
        if part.network is not None:
            part.network = placement.rewrite(part.network)
    placement.check(bundle.networks)
    return placement


def foresee(bundle: Bundle, set_precision: Callable[[Bundle], None]) -> dict[str, Any]:
    """The placement of a bundle that is not built, as in `placement.json`.

    Of fp16 it is that of the build. int8 is not calibrated: it is planned as if every tensor had a
    scale.

    Args:
        bundle: with its networks, which are rewritten as for a build.
        set_precision: what makes them fp16, if they are to be.

    Raises:
        OptionError: everything was to be on DLA, and can't be.
    """
    placement = start(bundle, bundle.options)
    set_precision(bundle)
    return placement.place(bundle.networks, calibrated=bundle.options.precision != "int8")


@contextmanager
def placed_for_more(bundle: Bundle, options: CompileOptions) -> Generator[None]:
    """Places the layers of a finished bundle for more targets, and back if the block fails.

    Engines of a target whose plan is another one now leave the bundle: it would show them as what
    became of the new plan. Where the block builds no others, a remark says so.

    Raises:
        OptionError: everything was to be on DLA, and can't be.
    """
    before, plans = bundle.placement, bundle.plans
    try:
        _place_for_more(bundle, options)
        stale = _of_another_plan(before, bundle)
        bundle.plans = [plan for plan in plans if plan.target not in stale]
        yield
    except BaseException:
        bundle.placement, bundle.plans = before, plans
        raise
    for target in sorted(stale - {plan.target for plan in bundle.plans}):
        why = f"the engines for {target} were built by another plan, and are left out"
        bundle.remarks = [*bundle.remarks, why]


def _of_another_plan(before: Mapping[str, Any], bundle: Bundle) -> set[str]:
    """Targets whose engines were built by another plan than the bundle has now."""
    earlier: Mapping[str, Any] = before.get("targets", {})
    now: Mapping[str, Any] = bundle.placement.get("targets", {})
    built = {plan.target for plan in bundle.plans}
    return {t for t in built & now.keys() if _planned(earlier.get(t)) != _planned(now[t])}


def _planned(placed: Mapping[str, Any] | None) -> list[Any]:
    """What engines of a target are built by; nothing where all of it is the GPU's anyway."""
    entries: Sequence[Mapping[str, Any]] = placed["networks"] if placed else ()
    plans = [(entry["assignment"], entry.get("streams", [])) for entry in entries]
    regions = [region for assignment, _ in plans for region in assignment["regions"]]
    return plans if any(region["device"] != "gpu" for region in regions) else []


def _place_for_more(bundle: Bundle, options: CompileOptions) -> None:
    """Places the layers of a finished bundle for targets that it was not placed for like this.

    Without `dla` the bundle's own plans stay; `off` sets them aside for these targets.

    Raises:
        OptionError: everything was to be on DLA, and can't be.
    """
    if options.dla is None or (options.dla == "off" and not bundle.placement):
        return
    there: Mapping[str, Any] = bundle.placement.get("targets", {})
    more = [t for t in options.targets if t not in there or not _as_wanted(there[t], t, options)]
    if not more:
        return
    from edge_trt.placement.step import Placement

    wanted = replace(options, target=more, precision=bundle.options.precision)
    recipes = {target: rewrites(bundle.placement, target) for target in more}
    found = Placement(wanted, recipes, finished=True).place(bundle.networks, bundle.ranges)
    bundle.placement = {**found, "targets": {**there, **found["targets"]}}


def rewrites(placement: Mapping[str, Any], target: str) -> dict[str, str]:
    """Recipes of the layers that a bundle has in another form: its networks keep them."""
    there: Mapping[str, Mapping[str, Any]] = placement.get("targets", {})
    if target in there:
        return dict(there[target].get("rewritten", {}))
    return {n: recipe for t in there.values() for n, recipe in t.get("rewritten", {}).items()}


def placed_here(
    bundle: Bundle, networks: Sequence[Network]
) -> Callable[[str, Flavour, int | None], OnBoard] | None:
    """What gives the placement of a bundle where it is built; None where nothing was placed.

    Args:
        bundle: what is built.
        networks: its networks as they are built for the GPU.
    """
    if not bundle.placement:
        return None

    def found(target: str, flavour: Flavour, offered: int | None) -> OnBoard:
        from edge_trt.placement.native import on_board

        return on_board(bundle, networks, target, flavour, offered)

    return found


def _as_wanted(placed: Mapping[str, Any], target: str, options: CompileOptions) -> bool:
    """Whether a target was placed by the same policy, for the same objective and power mode."""
    mode = options.dla_mode or ""
    if placed["networks"]:
        from edge_trt.placement.site import Site, site_of

        site = site_of(target, mode=options.dla_mode)
        mode = site.mode if isinstance(site, Site) else ""
    wanted = (options.dla, options.dla_objective, mode)
    return wanted == tuple(placed.get(name) for name in ("policy", "objective", "mode"))
