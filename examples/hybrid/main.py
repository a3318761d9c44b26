# SPDX-License-Identifier: Apache-2.0
"""A model that TensorRT can run in parts only, on a device without PyTorch.

    python examples/hybrid/main.py

A network on the points of a laser scanner gathers those of each cell of the ground (`unique`, then
a maximum over each), which TensorRT has no layers for. edge_trt cuts the model: what TensorRT can
take becomes networks, the rest becomes ONNX, and ONNX Runtime runs it. The report says which
operators, why, and what is copied between the two in each run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from model import CLASSES, trained
from scenes import scene

import edge_trt
from edge_trt.cli.report import print_report

sys.path.append(str(Path(__file__).parents[1]))

import torch_free
from program import arguments

FIRST = 100_000
"""Seed of the first scene; train.py used smaller ones."""
Outputs = list[list[np.ndarray]]
"""Of each scene: logits, occupied cells, points in each of these."""


def main() -> None:
    """Compiles the network, prints who runs what, and compares with eager PyTorch."""
    typed = arguments("hybrid", __doc__)
    bundle = typed.output / "pillars.edge"
    model = trained()
    points = edge_trt.Input(("points", 4), min=64, opt=1200, max=4096, name="points")
    # An operator that would need PyTorch on the device is an error here, and not a surprise there.
    compiled = edge_trt.compile(model, (points,), target=("cpu", "rtx"), fallback="onnxruntime")
    compiled.save(bundle)
    print_report(compiled.report)

    scenes = [scene(FIRST + i) for i in range(20 if typed.quick else 200)]
    clouds, classes = zip(*scenes, strict=True)
    with torch.inference_mode():
        eager = [[t.numpy() for t in model(torch.from_numpy(cloud))] for cloud in clouds]
    answers = torch_free.answer(bundle, ({"points": cloud} for cloud in clouds))
    got = [list(outputs.values()) for outputs in answers.outputs]
    blocks = compiled.report["coverage"]["blocks"]
    typed.finish(
        f"{len(clouds)} scenes of {min(map(len, clouds))} to {max(map(len, clouds))} points",
        {
            "eager PyTorch": intersections(eager, classes),
            torch_free.COLUMN: {
                **intersections(got, classes),
                "cells of the same class": same_cells(got, eager),
                "scenes of the same pillars": same_pillars(got, eager),
                "blocks in TensorRT": sum(b["runner"] == "tensorrt" for b in blocks),
                "blocks in ONNX Runtime": sum(b["runner"] == "onnxruntime" for b in blocks),
                "blocks in PyTorch": sum(b["runner"] == "torch" for b in blocks),
                "copied per run [kB]": copied(blocks) / 1e3,
                **answers.latency,
            },
        },
    )


def intersections(outputs: Outputs, classes: Sequence[np.ndarray]) -> dict[str, float]:
    """Intersection over union of the cells of each class, over all scenes."""
    found = np.concatenate([logits.argmax(1) for logits, *_ in outputs])
    truth = np.stack(classes)
    return {
        f"IoU of class {name}": float(
            ((found == i) & (truth == i)).sum() / ((found == i) | (truth == i)).sum()
        )
        for i, name in enumerate(CLASSES)
    }


def same_cells(got: Outputs, eager: Outputs) -> str:
    """How many cells, of all scenes, get the same class."""
    same = [a[0].argmax(1) == b[0].argmax(1) for a, b in zip(got, eager, strict=True)]
    return f"{np.sum(same)}/{np.size(same)}"


def same_pillars(got: Outputs, eager: Outputs) -> str:
    """In how many scenes the occupied cells, and the number of points in each, are the same."""
    pairs = zip(got, eager, strict=True)
    same = [all(np.array_equal(x, y) for x, y in zip(a[1:], b[1:], strict=True)) for a, b in pairs]
    return f"{sum(same)}/{len(same)}"


def copied(blocks: list[dict[str, Any]]) -> int:
    """Bytes that go from one runner to another in a run of the usual size."""
    return sum(block.get(key, 0) for block in blocks for key in ("to_host", "to_device"))


if __name__ == "__main__":
    main()
