# SPDX-License-Identifier: Apache-2.0
"""Cuts modules into blocks and runs the blocks one after the other, in torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from edge_trt.capture import Captured, capture
from edge_trt.conversion.registry import support
from edge_trt.lowering import lower
from edge_trt.partitioning import Coverage, Partition, cut, refusals, summarize


@dataclass
class Cut:
    """A module in blocks, with what it takes to compare them with the module."""

    captured: Captured
    partition: Partition
    coverage: Coverage
    reasons: dict[fx.Node, str]

    @property
    def kinds(self) -> list[str]:
        return [block.kind for block in self.partition.blocks]

    @property
    def refused(self) -> dict[str, str]:
        """Reason by operator."""
        return {r.op: r.reason for r in self.coverage.refusals}

    def __call__(self, *inputs: torch.Tensor) -> list[Any]:
        return run(self.partition, dict(zip(self.captured.input_names, inputs, strict=True)))


def lowered(module: nn.Module, inputs: Any) -> tuple[Captured, fx.GraphModule]:
    captured = capture(module.eval(), inputs)
    return captured, lower(captured.program, supported=support)


def cut_up(
    module: nn.Module,
    inputs: Any,
    *,
    fallback_ops: Sequence[str] = (),
    fallback_modules: Sequence[str] = (),
    min_block_size: int | None = 1,
) -> Cut:
    captured, graph = lowered(module, inputs)
    refused = refusals(graph.graph, fallback_ops, fallback_modules)
    partition, reasons = cut(graph, refused, min_block_size)
    return Cut(captured, partition, summarize(partition, reasons), reasons)


def run(partition: Partition, inputs: Mapping[str, Any]) -> list[Any]:
    """The model's outputs; a block that needs a value of a later one fails with a KeyError."""
    values = dict(inputs)
    for block in partition.blocks:
        results = block.module(*(values[name] for name in block.inputs))
        assert len(results) == len(block.outputs)
        values.update(zip(block.outputs, results, strict=True))
    return [values[name] for name in partition.results]


def assert_equal(results: Sequence[Any], expected: Sequence[Any]) -> None:
    assert len(results) == len(expected)
    for result, eager in zip(results, expected, strict=True):
        torch.testing.assert_close(result, eager)
