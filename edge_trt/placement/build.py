# SPDX-License-Identifier: Apache-2.0
"""The placement of a bundle that is being built; what plans is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def place_for_more(bundle: Bundle, options: CompileOptions) -> None:
    """Places the layers of a finished bundle for targets that it was not placed for.

    Raises:
        OptionError: everything was to be on DLA, and can't be.
    """
    there: Mapping[str, Any] = bundle.placement.get("targets", {})
    more = [target for target in options.targets if target not in there]
    if not options.places_dla or not more:
        return
    from edge_trt.placement.step import Placement

    wanted = replace(options, target=more, precision=bundle.options.precision)
    found = Placement(wanted).place(bundle.networks, bundle.ranges)
    bundle.placement = {**found, "targets": {**there, **found["targets"]}}


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
