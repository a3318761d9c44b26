# SPDX-License-Identifier: Apache-2.0
"""Made detector.safetensors; some two minutes on one core.

python examples/detection/train.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

sys.path.append(str(Path(__file__).parents[1]))

import torchvision_kernels as torchvision_kernels
from canvases import Canvas, canvas
from model import CLASSES, MEAN, SIZE, STD, STRIDE, WEIGHTS, Detector, centres

STEPS, BATCH = 600, 16


def main() -> None:
    """Trains on canvases that never repeat."""
    torch.manual_seed(0)
    model = Detector().train()
    with torch.no_grad():
        model.head.bias[:CLASSES] = -4.0  # most cells see no digit
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=STEPS)
    for step in range(STEPS):
        batch = [canvas(step * BATCH + i, training=True) for i in range(BATCH)]
        pixels = torch.from_numpy(np.stack([c.pixels for c in batch]))[:, None]
        logits, boxes = model.grid((pixels / 255 - MEAN) / STD)
        each = zip(logits, boxes, batch, strict=True)
        loss = torch.stack([loss_of(*one) for one in each]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 49:
            print(f"step {step + 1}: loss {loss.item():.4f}", flush=True)
    save_file(model.state_dict(), WEIGHTS)


def loss_of(logits: torch.Tensor, boxes: torch.Tensor, truth: Canvas) -> torch.Tensor:
    """Focal loss of the classes, and of cells in the middle of a digit -log(IoU) of their box."""
    wanted, owner = torch.zeros_like(logits), owners(truth)
    inside = owner >= 0
    digits, edges = torch.from_numpy(truth.digits), torch.from_numpy(truth.boxes)
    wanted[inside, digits[owner[inside]]] = 1
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    focal = (entropy * (1 - (-entropy).exp()) ** 2).sum() / max(int(inside.sum()), 1)
    if not inside.any():
        return focal
    return focal - overlap(boxes[inside], edges[owner[inside]]).clamp(min=1e-6).log().mean()


def owners(truth: Canvas) -> torch.Tensor:
    """Of each cell, the number of the digit in whose middle half it lies, or -1."""
    at = centres(SIZE // STRIDE, SIZE // STRIDE)
    owner = torch.full((len(at),), -1)
    for i, box in enumerate(torch.from_numpy(truth.boxes)):
        middle, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        owner[((at - middle).abs() <= size / 4).all(dim=1)] = i
    return owner


def overlap(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Intersection over union of pairs of boxes [n, 4]."""
    sides = torch.minimum(one[:, 2:], other[:, 2:]) - torch.maximum(one[:, :2], other[:, :2])
    shared = sides.clamp(min=0).prod(1)
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (one, other)]
    return shared / (areas[0] + areas[1] - shared)


if __name__ == "__main__":
    main()
