# SPDX-License-Identifier: Apache-2.0
"""Giving the inputs of an exported program other names."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.export import ExportedProgram


def rename_inputs(program: ExportedProgram, names: Mapping[str, str]) -> None:
    """Rename input placeholders in place; another node that has the name makes way.

    Args:
        program: A program that nobody else holds.
        names: New name by present name.
    """
    renamed = {old: new for old, new in names.items() if old != new}
    if not renamed:
        return
    graph = program.graph
    taken = {node.name for node in graph.nodes} | set(renamed.values())
    for node in list(graph.nodes):
        if node.name in renamed.values() and node.name not in renamed:
            way, count = f"{node.name}_1", 1
            while way in taken:
                count += 1
                way = f"{node.name}_{count}"
            taken.add(way)
            renamed[node.name] = way
    for node in graph.nodes:
        if node.name in renamed:
            _rename(node, renamed[node.name])
    signature = program.graph_signature
    for specs in (signature.input_specs, signature.output_specs):
        specs[:] = [_renamed(spec, renamed) for spec in specs]  # type: ignore[misc]


def _rename(node: Any, name: str) -> None:
    """Set a node's name, also where the graph remembers the name as taken by its former owner."""
    node.graph._graph_namespace.create_name(name, None)
    node.name = name
    if node.op == "placeholder":
        node.target = name


def _renamed(spec: Any, names: Mapping[str, str]) -> Any:
    """Return a signature entry with its value renamed."""
    new = names.get(getattr(spec.arg, "name", ""))
    return (
        spec
        if new is None
        else dataclasses.replace(spec, arg=dataclasses.replace(spec.arg, name=new))
    )
