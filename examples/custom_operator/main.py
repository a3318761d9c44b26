# SPDX-License-Identifier: Apache-2.0
"""Operators of your own: one becomes TensorRT layers, the other an ONNX form.

    python examples/custom_operator/main.py

A star finder takes the noise out of a picture of the sky (`starlib::bilateral`) and lists the
places of the stars (`starlib::peaks`). `starlib/ops.py` declares the operators, as any library
does; `starlib/edge.py` is what edge_trt has to know of them. Here it is imported; `pyproject.toml`
makes it an entry point, so that every build finds it after `pip install examples/custom_operator`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from starlib import edge as edge  # registers the converters
from torch import nn

import edge_trt
import edge_trt.testing
from edge_trt.cli.report import print_report

sys.path.append(str(Path(__file__).parents[1]))

import torch_free
from program import arguments

SIZE = 64


class StarFinder(nn.Module):
    """A picture of the sky [N, 1, H, W] -> the clean picture, and places [stars, 4] in it."""

    def forward(self, sky: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        clean = torch.ops.starlib.bilateral(sky, 2, 1.5, 0.3)
        return clean, torch.ops.starlib.peaks(clean, 0.35, 3)


def main() -> None:
    """Tests the converter, compiles the star finder, and counts stars with and without torch."""
    typed = arguments("custom_operator", __doc__)
    check_converter()
    bundle = typed.output / "stars.edge"
    sky = edge_trt.Input(("batch", 1, SIZE, SIZE), min=1, opt=1, max=4, name="sky")
    compiled = edge_trt.compile(StarFinder().eval(), (sky,), target=("cpu", "rtx"))
    compiled.save(bundle)
    print_report(compiled.report)

    skies, stars = zip(*(picture(seed) for seed in range(8 if typed.quick else 64)), strict=True)
    with torch.inference_mode():
        eager = [[t.numpy() for t in StarFinder()(torch.from_numpy(sky))] for sky in skies]
    answers = torch_free.answer(bundle, ({"sky": sky} for sky in skies))
    got = [list(outputs.values()) for outputs in answers.outputs]
    difference = max(float(np.abs(a[0] - b[0]).max()) for a, b in zip(got, eager, strict=True))
    typed.finish(
        f"Stars in {len(skies)} pictures",
        {
            "truth": {"stars": sum(stars)},
            "eager PyTorch": {"stars": sum(len(places) for _, places in eager)},
            torch_free.COLUMN: {
                "stars": sum(len(places) for _, places in got),
                "pictures with the same stars": same(got, eager),
                "largest difference of a pixel": difference,
                **answers.latency,
            },
        },
    )


def check_converter() -> None:
    """What a test of the converter is: compared with eager, at every size, and built."""
    smallest, usual, largest = (1, 1, 16, 48), (1, 1, 32, 48), (3, 1, 64, 48)
    sky = edge_trt.Input(("batch", 1, "height", 48), min=smallest, opt=usual, max=largest)
    edge_trt.testing.check(lambda sky: torch.ops.starlib.bilateral(sky, 1, 1.0, 0.2), sky)
    print(
        "starlib::bilateral: layers and PyTorch agree, and TensorRT-RTX builds them if it is here"
    )


def picture(seed: int) -> tuple[np.ndarray, int]:
    """A noisy sky [1, 1, SIZE, SIZE], and how many stars are in it."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    cells = random.choice(16, size=random.integers(3, 10), replace=False)  # no two in one place
    sky = np.zeros((SIZE, SIZE))
    for cell in cells:
        y, x = (SIZE // 4) * np.array(divmod(cell, 4)) + random.uniform(5, 11, 2)
        sky += random.uniform(0.7, 1.0) * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 4)
    sky += random.normal(0, 0.05, sky.shape)
    return sky[None, None].astype(np.float32), len(cells)


def same(got: list[list[np.ndarray]], eager: list[list[np.ndarray]]) -> str:
    """In how many pictures all places are the same."""
    equal = sum(np.array_equal(a[1], b[1]) for a, b in zip(got, eager, strict=True))
    return f"{equal}/{len(got)}"


if __name__ == "__main__":
    main()
