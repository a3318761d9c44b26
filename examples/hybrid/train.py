# SPDX-License-Identifier: Apache-2.0
"""Made pillars.safetensors; some 15 seconds on one core.

python examples/hybrid/train.py
"""

from __future__ import annotations

import torch
from model import WEIGHTS, Pillars
from safetensors.torch import save_file
from scenes import scene
from torch import nn

STEPS, SCENES = 400, 4


def main() -> None:
    """Trains on scenes that never repeat, a few in each step."""
    torch.manual_seed(0)
    model = Pillars().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=STEPS)
    for step in range(STEPS):
        optimizer.zero_grad()
        total = 0.0
        for seed in range(step * SCENES, (step + 1) * SCENES):
            points, classes = map(torch.from_numpy, scene(seed))
            logits, *_ = model(points)
            loss = nn.functional.cross_entropy(logits, classes[None]) / SCENES
            loss.backward()
            total += loss.item()
        optimizer.step()
        schedule.step()
        if step % 50 == 49:
            print(f"step {step + 1}: loss {total:.4f}")
    save_file(model.state_dict(), WEIGHTS)


if __name__ == "__main__":
    main()
