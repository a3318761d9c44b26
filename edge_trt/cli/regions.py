# SPDX-License-Identifier: Apache-2.0
"""The layers of a placement: by region in execution order, and the device of each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from edge_trt.cli.console import print_table, print_text

if TYPE_CHECKING:
    from edge_trt.network.graph import Network
    from edge_trt.placement.assignment import Assignment, Region
    from edge_trt_runtime.bundle import OpenBundle

FEW = 12
"""Regions that are shown after a build."""
NAMED = 3
"""Modules of a region that are all named; of more the first and the last."""

Modules = Mapping[str, Mapping[str, str]]
"""Path of the module that each layer comes from, by network and layer."""


def modules_of(networks: Iterable[Network]) -> Modules:
    """The modules of networks in memory."""
    return {n.name: {node.name: node.origin.module for node in n.nodes} for n in networks}


def modules_in(bundle: OpenBundle) -> Modules:
    """The modules of the networks of a bundle."""
    paths = [s.network for s in bundle.manifest.segments if s.network is not None]
    networks: list[dict[str, Any]] = [json.loads(bundle.read(path)) for path in paths]
    return {
        net["name"]: {node["name"]: node["origin"]["module"] for node in net["nodes"]}
        for net in networks
    }


def print_regions(
    name: str, networks: Sequence[Mapping[str, Any]], modules: Modules, see: str = ""
) -> None:
    """Print the regions of a target.

    Args:
        name: of the target.
        networks: its entries of `placement.json`.
        modules: where the layers come from.
        see: the command that shows them all, where many are left out.
    """
    rows = [row for entry in networks for row in _rows(entry, modules)]
    if see and len(rows) > FEW:
        print_text(f"Layers of {name}: in {len(rows)} regions, which {see} shows")
        return
    columns = ["network", "stream", "device", "#layers", "from ... to, in execution order"]
    print_table(f"Layers of {name}", columns, rows)


def _rows(entry: Mapping[str, Any], modules: Modules) -> Iterator[tuple[object, ...]]:
    from edge_trt.placement.side_by_side import assignments

    for number, assignment in enumerate(assignments(entry), 1):
        for region in assignment.regions:
            count = f"{len(region.layers)}"
            if region.fp16:
                count += f", {len(region.fp16)} in fp16"
            named = modules.get(assignment.network, {})
            where = device_of(assignment, region)
            yield assignment.network, number, where, count, _extent(region.layers, named)


def device_of(assignment: Assignment, region: Region) -> str:
    """Where a region runs; both cores, where they take runs in turn."""
    split = assignment.cores == "split" and region.device != "gpu"
    return "dla:0, dla:1" if split else region.device


def _extent(layers: Sequence[str], modules: Mapping[str, str]) -> str:
    """Modules of layers, or the layers themselves where they are of none."""
    names = [name for name, _ in groupby(modules.get(layer) or layer for layer in layers)]
    return ", ".join(names) if len(names) <= NAMED else f"{names[0]} ... {names[-1]}"


def devices_by_column(placement: Mapping[str, Any]) -> dict[str, dict[str, dict[str, str]]]:
    """The device of every layer, by network, for every target and stream that has a placement."""
    from edge_trt.placement.side_by_side import assignments

    found: dict[str, dict[str, dict[str, str]]] = {}
    for target, told in placement["targets"].items():
        for entry in told["networks"]:
            for number, assignment in enumerate(assignments(entry), 1):
                column = target if number == 1 else f"{target}:{number}"  # of stream 2
                found.setdefault(column, {})[assignment.network] = {
                    layer: device_of(assignment, region)
                    for region in assignment.regions
                    for layer in region.layers
                }
    return found


def with_devices(network: Network, columns: Mapping[str, Mapping[str, Mapping[str, str]]]) -> str:
    """A network as text, with the devices of each layer before it; first line has the targets."""
    lines = str(network).splitlines()
    nodes = iter(network.nodes)
    texts: dict[str, list[str]] = {column: [column] for column in columns}
    for line in lines[1:]:
        node = next(nodes) if line.startswith("  %") else None  # bodies are further to the right
        for column, devices in columns.items():
            layers = devices.get(network.name, {})
            texts[column].append(layers.get(node.name, "") if node else "")
    widths = {column: max(map(len, cells)) for column, cells in texts.items()}
    margins = zip(
        *([f"{c:{widths[n]}}  " for c in cells] for n, cells in texts.items()), strict=True
    )
    return "\n".join("".join(margin) + line for margin, line in zip(margins, lines, strict=True))
