# SPDX-License-Identifier: Apache-2.0
"""What each pixel of a camera's picture belongs to, at any size of the picture.

    python examples/segmentation/main.py

The bundle takes the bytes of a camera, [1, height, width, 3] of uint8: a quarter of what the same
picture takes as floats. Cast, layout and normalization happen in the network, and so does the
choice of each pixel's class, so that one byte per pixel comes back. Heights and widths are ranges.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from model import MEAN, STD, STEP, UNet, trained
from PIL import Image
from scenes import CLASSES, Scene, scene
from torch import nn

import edge_trt

sys.path.append(str(Path(__file__).parents[1]))

import torch_free
from program import arguments, console

FIRST = 1_000_000
"""Seed of the first picture; train.py used smaller ones."""
COLOURS = np.array([(0, 0, 0), (230, 60, 60), (70, 190, 70), (70, 90, 230)], np.uint8)


class Classes(nn.Module):
    """The class of each pixel: what an application wants of the logits."""

    def __init__(self, net: UNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """[batch, 3, height, width] -> [batch, height, width] of uint8."""
        return self.net(image).argmax(1).to(torch.uint8)


def main() -> None:
    """Compiles the network, segments pictures of many sizes, and compares with eager PyTorch."""
    typed = arguments("segmentation", __doc__)
    bundle, model = typed.output / "unet.edge", Classes(trained()).eval()
    frame = edge_trt.ImageInput(
        (1, "height", "width", 3),
        min=(1, 48, 48, 3),
        opt=(1, 96, 128, 3),
        max=(1, 256, 256, 3),
        mean=[MEAN] * 3,
        std=[STD] * 3,
        name="frame",
    )
    compiled = edge_trt.compile(model, (frame,), target=("cpu", "rtx"), fallback="forbid")
    compiled.save(bundle)

    scenes = pictures(20 if typed.quick else 200)
    frames = [s.pixels[None] for s in scenes]
    with torch.inference_mode():
        eager = [model(prepared(frame)).numpy() for frame in frames]
    answers = torch_free.answer(bundle, ({"frame": frame} for frame in frames))
    found = [next(iter(outputs.values())) for outputs in answers.outputs]
    draw(scenes[0], found[0][0], typed.output / "found.png")
    console.print(f"a picture, what was found, and what is there: {typed.output / 'found.png'}")
    pixels = [classes.size for classes in found]
    typed.finish(
        f"{len(scenes)} pictures of {min(pixels)} to {max(pixels)} pixels",
        {
            "eager PyTorch": {"mean IoU": mean_iou(eager, scenes)},
            torch_free.COLUMN: {
                "mean IoU": mean_iou(found, scenes),
                "pixels of another class": sum(
                    int((a != b).sum()) for a, b in zip(found, eager, strict=True)
                ),
                "bytes that go in, per pixel": frames[0].nbytes / pixels[0],
                "bytes that come back, per pixel": found[0].nbytes / pixels[0],
                "networks for TensorRT": len(compiled.networks),
                **answers.latency,
            },
        },
    )


def pictures(count: int) -> list[Scene]:
    """So many scenes, each of another size."""
    rng = np.random.default_rng(FIRST)
    sizes = STEP * rng.integers(12, 40, (count, 2))
    return [scene(FIRST + i, int(h), int(w)) for i, (h, w) in enumerate(sizes)]


def prepared(frame: np.ndarray) -> torch.Tensor:
    """What the bundle does inside: cast, layout, normalization."""
    return (torch.from_numpy(frame).permute(0, 3, 1, 2) / 255 - MEAN) / STD


def mean_iou(found: list[np.ndarray], scenes: list[Scene]) -> float:
    """Intersection over union of each class over all pictures, and the mean of these."""
    got = np.concatenate([classes.ravel() for classes in found])
    truth = np.concatenate([s.classes.ravel() for s in scenes])
    each = [
        ((got == i) & (truth == i)).sum() / ((got == i) | (truth == i)).sum()
        for i in range(len(CLASSES))
    ]
    return float(np.mean(each))


def draw(picture: Scene, found: np.ndarray, file: Path) -> None:
    """Writes the picture, what was found in it, and what is there, side by side."""
    sheet = np.concatenate([picture.pixels, COLOURS[found], COLOURS[picture.classes]], axis=1)
    image = Image.fromarray(sheet)
    image.resize((3 * image.width, 3 * image.height), Image.Resampling.NEAREST).save(file)


if __name__ == "__main__":
    main()
