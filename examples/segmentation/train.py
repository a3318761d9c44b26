# SPDX-License-Identifier: Apache-2.0
"""Made unet.safetensors; some minutes on two cores.

python examples/segmentation/train.py
"""

from __future__ import annotations

import numpy as np
import torch
from model import MEAN, STD, WEIGHTS, UNet
from safetensors.torch import save_file
from scenes import scene
from torch import nn

STEPS, BATCH, RATE = 800, 16, 5e-3


def main() -> None:
    """Trains on pictures that never repeat."""
    torch.manual_seed(0)
    model = UNet().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    for step in range(STEPS):
        pixels, classes = zip(*map(scene, range(step * BATCH, (step + 1) * BATCH)), strict=True)
        images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
        wanted = torch.from_numpy(np.stack(classes))
        optimizer.zero_grad()
        logits = model((images / 255 - MEAN) / STD)
        loss = nn.functional.cross_entropy(logits, wanted)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 49:
            right = (logits.argmax(1) == wanted).float().mean()
            print(f"step {step + 1}: loss {loss.item():.3f}, right {right:.1%}", flush=True)
    save_file({name: w.half() for name, w in model.state_dict().items()}, WEIGHTS)


if __name__ == "__main__":
    main()
