# SPDX-License-Identifier: Apache-2.0
"""What a bundle answers, and what it costs to build, to keep and to run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch_free  # the file in the folder above, which main.py puts on the path


@dataclass
class Outcome:
    """What a bundle gave, and what it cost."""

    outputs: np.ndarray
    latency: dict[str, float]
    layers: int
    coverage: float
    blocks: int
    build: float
    size: int


def run(bundle: Path, name: str, samples: np.ndarray, build_seconds: float) -> Outcome:
    """Classifies every sample in a process that can't import torch."""
    answers = torch_free.answer(bundle, ({name: sample[None]} for sample in samples))
    report = json.loads((bundle / "report.json").read_text())
    return Outcome(
        np.concatenate([outputs["output"] for outputs in answers.outputs]),
        answers.latency,
        layers=sum(report["layers"].values()),
        coverage=report["coverage"]["by_calls"],
        blocks=len(report["coverage"]["blocks"]),
        build=build_seconds,
        size=sum(f.stat().st_size for f in bundle.rglob("*") if f.is_file()),
    )


def costs(o: Outcome) -> dict[str, str | float]:
    """What an outcome took, by the name of the row."""
    return {
        "operators in TensorRT": f"{o.coverage:.0%}",
        "blocks": str(o.blocks),
        "TensorRT layers": str(o.layers),
        "build": f"{o.build:.1f} s",
        "bundle size": f"{o.size / 1e6:.1f} MB",
        **o.latency,
    }


def agreement(a: np.ndarray, b: np.ndarray) -> str:
    """How many first choices are the same."""
    return f"{int((a.argmax(1) == b.argmax(1)).sum())}/{len(a)}"
