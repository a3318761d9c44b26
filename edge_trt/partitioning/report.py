# SPDX-License-Identifier: Apache-2.0
"""What partitioning decided, in numbers and sentences; plain data that `report.json` keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from torch import fx

from edge_trt.conversion.origin import module_of, operator_of, source_of
from edge_trt.errors import UnsupportedError
from edge_trt.partitioning.blocks import Block, Partition
from edge_trt.partitioning.flops import bytes_of, flops_of


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that falls back: what, where in the model, and why."""

    op: str
    module: str
    source: str
    reason: str

    def __str__(self) -> str:
        where = ", ".join(
            filter(None, [f"module {self.module}" if self.module else "", self.source])
        )
        return f"{self.op} ({where or 'no source known'}): {self.reason}"


@dataclass(frozen=True, slots=True)
class BlockSummary:
    """One block in numbers.

    Attributes:
        name: of the block.
        kind: `tensorrt` or `fallback`.
        calls: how many calls it has.
        flops: floating-point operations at the captured sizes.
        share: its part of the model's operations, 0 to 1.
        runner: `tensorrt`, `onnxruntime` or `torch`; empty as long as nobody chose.
        why: a fallback's reason for its runner.
        to_host: bytes that a run copies from the device for this block, at the captured sizes.
        to_device: bytes that a run copies to the device of what this block gives.
    """

    name: str
    kind: str
    calls: int
    flops: int
    share: float = 0.0
    runner: str = ""
    why: str = ""
    to_host: int = 0
    to_device: int = 0


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a model TensorRT runs, by calls and by floating-point operations."""

    calls: int
    covered_calls: int
    flops: int
    covered_flops: int
    blocks: list[BlockSummary] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def by_calls(self) -> float:
        """Share of the calls, 0 to 1; 1 for a model without any."""
        return self.covered_calls / self.calls if self.calls else 1.0

    @property
    def by_flops(self) -> float:
        """Share of the operations, 0 to 1."""
        return self.covered_flops / self.flops if self.flops else 1.0

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self) | {"by_calls": self.by_calls, "by_flops": self.by_flops}


def summarize(partition: Partition, reasons: Mapping[fx.Node, str]) -> Coverage:
    """Counts what the blocks hold, and what passes between device and host."""
    flops = {b.name: sum(map(flops_of, b.calls)) for b in partition.blocks}
    total = sum(flops.values())
    blocks: list[BlockSummary] = []
    for b in partition.blocks:
        share = flops[b.name] / total if total else 0.0
        summary = BlockSummary(b.name, b.kind, len(b.calls), flops[b.name], share)
        if b.kind == "tensorrt":
            blocks.append(replace(summary, runner="tensorrt"))
        else:
            to_host, to_device = _copies(b, partition)
            blocks.append(replace(summary, to_host=to_host, to_device=to_device))
    covered = [b for b in blocks if b.kind == "tensorrt"]
    return Coverage(
        sum(b.calls for b in blocks),
        sum(b.calls for b in covered),
        total,
        sum(b.flops for b in covered),
        blocks,
        [Refusal(operator_of(n), module_of(n), source_of(n), r) for n, r in reasons.items()],
    )


def _copies(block: Block, partition: Partition) -> tuple[int, int]:
    """Bytes that a fallback block gets from TensorRT's blocks, and that these get from it."""
    others = [b for b in partition.blocks if b.kind == "tensorrt"]
    given = {name for b in others for name in b.outputs}
    read = {name for b in others for name in b.inputs}
    placeholders = block.module.graph.find_nodes(op="placeholder")
    results: Any = block.module.graph.output_node().args[0]
    inputs = zip(block.inputs, placeholders, strict=True)
    outputs = zip(block.outputs, results, strict=True)
    return (
        sum(bytes_of(node) for name, node in inputs if name in given),
        sum(bytes_of(node) for name, node in outputs if name in read),
    )


def with_runners(coverage: Coverage, chosen: Mapping[str, tuple[str, str]]) -> Coverage:
    """The report with who runs each fallback block, and why.

    Args:
        coverage: a report.
        chosen: runner and reason by the block's name.
    """
    blocks = [
        replace(b, runner=chosen[b.name][0], why=chosen[b.name][1]) if b.name in chosen else b
        for b in coverage.blocks
    ]
    return replace(coverage, blocks=blocks)


def forbid(coverage: Coverage) -> None:
    """Raises all refusals at once.

    Raises:
        UnsupportedError: something falls back; `refusals` lists every call.
    """
    if coverage.refusals:
        sentences = [str(r) for r in coverage.refusals]
        count = f"{len(sentences)} operators" if len(sentences) > 1 else "one operator"
        raise UnsupportedError(
            f"{count} can't run in TensorRT, and fallback is forbidden", refusals=sentences
        )
