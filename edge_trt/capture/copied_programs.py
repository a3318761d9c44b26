# SPDX-License-Identifier: Apache-2.0
"""Programs whose graph may be changed, while somebody else holds the one they came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import fx
from torch.export import ExportedProgram

if TYPE_CHECKING:
    from collections.abc import Callable

Tensors = dict[str, Any]


def with_own_graph(
    program: ExportedProgram,
    change: Callable[[fx.Node, fx.Node], None] | None = None,
    tensors: Callable[[Tensors], Tensors] = lambda same: same,
    examples: Callable[[Any], Any] = lambda same: same,
) -> ExportedProgram:
    """Return the same program with a graph of its own; tensors are shared.

    Args:
        program: The program.
        change: Called with each old node and the new one.
        tensors: What becomes of weights and constants.
        examples: What becomes of the example inputs.
    """
    memo: dict[fx.Node, fx.Node] = {}
    graph = fx.Graph()
    graph.output(graph.graph_copy(program.graph, memo))
    for old, new in memo.items():
        new.name = old.name  # as the signature has it, even where fx would choose another
        if change is not None:
            change(old, new)
    graph.output_node().meta = dict(program.graph.output_node().meta)
    root = fx.GraphModule(program.graph_module, graph)
    root.meta = dict(program.graph_module.meta)
    return ExportedProgram(
        root=root,
        graph=graph,
        graph_signature=program.graph_signature,
        state_dict=tensors(program.state_dict),
        range_constraints=program.range_constraints,
        module_call_graph=program.module_call_graph,
        example_inputs=examples(program.example_inputs),
        constants=tensors(program.constants),
        verifiers=program.verifiers,
    )
