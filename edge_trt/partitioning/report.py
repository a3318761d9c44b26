# SPDX-License-Identifier: Apache-2.0
"""What partitioning decided, in numbers and sentences; plain data that `report.json` keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import fx

from edge_trt.conversion.origin import module_of, operator_of, source_of
from edge_trt.errors import UnsupportedError
from edge_trt.partitioning.blocks import Partition
from edge_trt.partitioning.flops import flops_of


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
    """One block in numbers."""

    name: str
    kind: str
    calls: int
    flops: int


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
    """Counts what the blocks hold."""
    blocks = [
        BlockSummary(b.name, b.kind, len(b.calls), sum(map(flops_of, b.calls)))
        for b in partition.blocks
    ]
    covered = [b for b in blocks if b.kind == "tensorrt"]
    return Coverage(
        sum(b.calls for b in blocks),
        sum(b.calls for b in covered),
        sum(b.flops for b in blocks),
        sum(b.flops for b in covered),
        blocks,
        [Refusal(operator_of(n), module_of(n), source_of(n), r) for n, r in reasons.items()],
    )


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
