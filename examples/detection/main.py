# SPDX-License-Identifier: Apache-2.0
"""A detector of handwritten digits, from the bytes of a camera to boxes without doubles.

    python examples/detection/main.py

Cast and normalization of the image are in the bundle, and so is the suppression of boxes that
overlap: TensorRT runs what gives boxes and scores, ONNX Runtime what chooses among them. `train.py`
made the weights; the canvases here have digits that it never saw.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[1]))

import torch_free
import torchvision_kernels as torchvision_kernels
from canvases import canvas
from drawing import draw
from model import MEAN, STD, Detector, create
from program import arguments, console
from scoring import Found, mean_average_precision

import edge_trt
from edge_trt.cli.report import print_report


def main() -> None:
    """Compiles the detector, looks for digits with and without torch, and draws some."""
    typed = arguments("detection", __doc__)
    bundle = typed.output / "digits.edge"
    model, inputs = create()
    compiled = edge_trt.compile(model, inputs, target=("cpu", "rtx"), fallback="onnxruntime")
    compiled.save(bundle)
    print_report(compiled.report)

    canvases = [canvas(seed, training=False) for seed in range(40 if typed.quick else 400)]
    frames = [c.pixels[None, :, :, None] for c in canvases]  # [1, H, W, 1], as a camera gives it
    eager = run_eager(model, frames)
    answers = torch_free.answer(bundle, ({"frame": frame} for frame in frames))
    found = [Found(*outputs.values()) for outputs in answers.outputs]
    draw(canvases[:8], found[:8], typed.output / "found.png")
    console.print(f"\nwhat was found, drawn: {typed.output / 'found.png'}")
    blocks = [block["runner"] for block in compiled.report["coverage"]["blocks"]]
    typed.finish(
        f"{sum(len(c.digits) for c in canvases)} digits on {len(canvases)} canvases",
        {
            "eager PyTorch": {"mean average precision": mean_average_precision(eager, canvases)},
            torch_free.COLUMN: {
                "mean average precision": mean_average_precision(found, canvases),
                **answers.latency,
                "canvases with the same digits": same(found, eager),
                "largest difference of an edge [px]": difference(found, eager),
                "runs in": ", then ".join(blocks),
                "bytes of a frame": frames[0].nbytes,
            },
        },
    )


def run_eager(model: Detector, frames: list[np.ndarray]) -> list[Found]:
    """What PyTorch finds; here the pixels have to be prepared before."""
    found: list[Found] = []
    with torch.inference_mode():
        for frame in frames:
            image = torch.from_numpy(frame).permute(0, 3, 1, 2)
            outputs = model((image / 255 - MEAN) / STD)
            found.append(Found(*(output.numpy() for output in outputs)))
    return found


def same(found: list[Found], eager: list[Found]) -> str:
    """On how many canvases the same digits are found, in the same order."""
    equal = sum(np.array_equal(a.digits, b.digits) for a, b in zip(found, eager, strict=True))
    return f"{equal}/{len(found)}"


def difference(found: list[Found], eager: list[Found]) -> float:
    """How far apart the edges are at most, where the same digits are found."""
    pairs = [(a, b) for a, b in zip(found, eager, strict=True) if len(a.boxes) == len(b.boxes)]
    return max(float(np.abs(a.boxes - b.boxes).max()) for a, b in pairs)


if __name__ == "__main__":
    main()
