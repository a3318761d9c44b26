# SPDX-License-Identifier: Apache-2.0
"""What a build finds on the board that it runs on, said before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_trt.cli.board_view import settings, title
from edge_trt.engines import board
from edge_trt.engines.plans import dla_cores
from edge_trt.engines.room import room_for
from edge_trt.engines.tensorrt import load_flavour
from edge_trt.placement.regimes import decide
from edge_trt.placement.side_by_side import assignments
from edge_trt_jetson.boards import find

if TYPE_CHECKING:
    from edge_trt.bundle.bundle import Bundle
    from edge_trt.network.graph import Network


def print_board(bundle: Bundle, target: str, folder: Path) -> None:
    """Print the board, its TensorRT, its power mode, and the room that the build has and needs.

    Args:
        bundle: what is built.
        target: the board that this is.
        folder: where plans are written.

    Raises:
        BuildError: there is no TensorRT, or it is too old or too new.
    """
    here = board.this_board()
    named, flavour = find(target), load_flavour("tensorrt")
    l4t = here.l4t if here else None
    served = decide(named, flavour.version, l4t=l4t or None, offered=dla_cores(flavour))
    mode, clocks = settings("/")
    print(f"board: {title(here) if here else named}")
    cores = f"{served.cores} DLA core{'s' * (served.cores != 1)}" if served.has_dla else "no DLA"
    print(f"TensorRT: {flavour.version}, regime {served.regime}, {cores}")  # a note says why
    print(f"power mode: {mode}; clocks {clocks}")
    print(room_for(_built(bundle, target), folder), flush=True)


def _built(bundle: Bundle, target: str) -> list[Network]:
    """The networks, each as often as there is an engine of it by the plan."""
    placed: Mapping[str, Any] = bundle.placement.get("targets", {}).get(target, {})
    entries = {entry["network"]: entry for entry in placed.get("networks", ())}
    count = {name: len(assignments(entry)) for name, entry in entries.items()}
    return [network for network in bundle.networks for _ in range(count.get(network.name, 1))]
