# SPDX-License-Identifier: Apache-2.0
"""What a run of the zoo wrote down of one model; a line of JSON each in `results.jsonl`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

RESULTS = Path(__file__).with_name("results.jsonl")
"""The measured record that docs/zoo.md is made from."""

AGREES = 1e-4
"""Largest relative error, max|result - eager| / max|eager|, of a model that agrees."""


@dataclass
class Record:
    """One model, measured."""

    name: str
    group: str
    inputs: str = ""
    parameters: int = 0
    calls: float = 0.0
    """Share of the operators that TensorRT runs."""
    flops: float = 0.0
    """Share of the floating-point operations that TensorRT runs."""
    blocks: int = 0
    """Blocks that TensorRT runs."""
    fallbacks: int = 0
    """Blocks that fall back."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Why operators fall back, each with the number of calls."""
    layers: int = 0
    error: float | None = None
    """Largest relative error against eager; None when there was nothing to compare."""
    rounding: float | None = None
    """Relative error of eager itself against float64, asked only where `error` is large."""
    built: bool = False
    """Whether the TensorRT-RTX builder took every network."""
    seconds: float = 0.0
    """Wall time of `edge_trt.compile` for the CPU engine, without the plan."""
    build_seconds: float = 0.0
    """Wall time of the builder."""
    failure: str = ""
    """The first sentence of what went wrong, empty when nothing did."""
    versions: str = ""
    date: str = ""

    @property
    def single(self) -> bool:
        """True when the whole model is one TensorRT block."""
        return not self.failure and (self.blocks, self.fallbacks) == (1, 0)

    @property
    def agrees(self) -> bool:
        """True when it compiled and its numbers are eager's, within eager's own rounding."""
        allowed = max(AGREES, 2 * (self.rounding or 0.0))
        return self.error is not None and math.isfinite(self.error) and self.error <= allowed


def read(path: Path = RESULTS) -> dict[str, Record]:
    """The records of a file by name, the last one of each model."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    records = (Record(**json.loads(line)) for line in lines)
    return {record.name: record for record in records}


def append(record: Record, path: Path = RESULTS) -> None:
    """Adds a line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(record)) + "\n")


def write(records: Iterable[Record], path: Path = RESULTS) -> None:
    """Replaces a file by these records."""
    text = "".join(json.dumps(asdict(record)) + "\n" for record in records)
    path.write_text(text, encoding="utf-8")
