# SPDX-License-Identifier: Apache-2.0
"""Runs one row of a converter table, through the oracles or against the support predicate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves

from edge_trt.conversion.driver import convert, to_numpy
from edge_trt.conversion.registry import support
from edge_trt.engines.onnx import CpuRunner
from edge_trt.lowering import lower, unlift
from edge_trt.network.graph import Network
from tests.conversion.rows import Row
from tests.support.compare import assert_close
from tests.support.oracles import Definition, Lowering, check, load_flavour
from tests.support.trt_interpreter import Interpreter

ASSERTIONS = {
    torch.ops.aten._assert_tensor_metadata.default,
    torch.ops.aten._assert_scalar.default,
}


SEEN: set[object] = set()
"""Operators in the graphs so far."""
LOWERED: set[object] = set()
"""Operators that lowering met in the graphs of `check_lowered` so far."""


def check_row(row: Row) -> None:
    """The row's graph as it was captured converts right, or is refused as the row says.

    Without lowering, which would rewrite most variants of an operator before a converter sees them.
    """
    if row.refusal:
        reasons = refusals(captured(row.program()))
        assert any(row.refusal in reason for reason in reasons), reasons
        return
    _check(row, captured)


def check_lowered(row: Row) -> None:
    """The row's graph converts right after lowering, or is refused as the row says.

    For operators that lowering rewrites: into other spellings, or into smaller operators.
    """
    if row.refusal:
        reasons = refusals(lowered(row.program()))
        assert any(row.refusal in reason for reason in reasons), reasons
        return
    _check(row, lowered)


def _check(row: Row, lowering: Lowering) -> None:
    report = check(row.module(), row.inputs(), ranges=row.ranges(), lowering=lowering)
    assert report.network is not None
    kinds = " ".join(node.layer.kind for node in report.network.nodes)
    assert row.kinds in (None, kinds), f"{kinds}\n{report.network}"
    if row.accuracy is not None:
        _check_elements(row, report.network)


def _check_elements(row: Row, network: Network) -> None:
    """Element by element, where `check` measures against the largest one."""
    inputs = row.inputs()
    feeds = dict(zip([t.name for t in network.inputs], inputs, strict=True))
    expected = tree_leaves(row.module()(*inputs))
    on_cpu = CpuRunner(network).run({name: to_numpy(t) for name, t in feeds.items()})
    trt = load_flavour().module
    definition = Definition.of(network, trt)
    interpreted = Interpreter(definition.emitted.definition, trt).run(feeds)
    for results in (map(torch.from_numpy, on_cpu.values()), interpreted.values()):
        for result, eager in zip(results, expected, strict=True):
            torch.testing.assert_close(result, eager, rtol=row.accuracy, atol=0, equal_nan=True)


def lowered(program: ExportedProgram) -> fx.GraphModule:
    """The graph of a program as `edge_trt.compile` converts it."""
    LOWERED.update(n.target for n in unlift(program).graph.nodes if n.op == "call_function")
    return lower(program, supported=support)


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
