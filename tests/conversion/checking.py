# SPDX-License-Identifier: Apache-2.0
"""Runs one row of a converter table, through the oracles or against the support predicate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from edge_trt.conversion.driver import convert
from edge_trt.conversion.registry import support
from edge_trt.engines.onnx import CpuRunner
from edge_trt.lowering import unlift
from tests.conversion.rows import Row
from tests.support.compare import assert_close
from tests.support.oracles import check

ASSERTIONS = {
    torch.ops.aten._assert_tensor_metadata.default,
    torch.ops.aten._assert_scalar.default,
}


SEEN: set[object] = set()
"""Operators in the graphs so far."""


def check_row(row: Row) -> None:
    """The row's graph as it was captured converts right, or is refused as the row says.

    Without lowering, which would rewrite most variants of an operator before a converter sees them.
    """
    if row.refusal:
        reasons = refusals(captured(row.program()))
        assert any(row.refusal in reason for reason in reasons), reasons
        return
    report = check(row.module(), row.inputs(), ranges=row.ranges(), lowering=captured)
    assert report.network is not None
    kinds = " ".join(node.layer.kind for node in report.network.nodes)
    assert row.kinds in (None, kinds), f"{kinds}\n{report.network}"


def check_program(
    program: ExportedProgram, function: Callable[..., Any], *cases: torch.Tensor
) -> None:
    """A program with sizes that are tied to each other gives the numbers of `function`."""
    network = convert(captured(program), "net")
    runner = CpuRunner(network)
    for case in cases:
        results = runner.run({network.inputs[0].name: case.numpy()})
        for result, eager in zip(results.values(), tree_leaves(function(case)), strict=True):
            assert_close(torch.from_numpy(result), eager, str(tuple(case.shape)))


def captured(program: ExportedProgram) -> fx.GraphModule:
    """The graph of a program without its assertions."""
    graph_module = unlift(program)
    for node in graph_module.graph.nodes:
        if node.target in ASSERTIONS:
            graph_module.graph.erase_node(node)
    graph_module.graph.eliminate_dead_code()
    SEEN.update(node.target for node in graph_module.graph.nodes if node.op == "call_function")
    return graph_module


def refusals(graph_module: fx.GraphModule) -> list[str]:
    """Why the calls of a graph can't be converted."""
    return [reason for node in graph_module.graph.nodes if (reason := support(node))]
