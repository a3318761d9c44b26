# SPDX-License-Identifier: Apache-2.0
"""Trains the models of the accuracy benchmark, on a GPU if there is one, and keeps their weights.

python tests/benchmarks/accuracy_train.py build/accuracy [MODEL ...]

AdamW, one cycle, images generated as they are needed: no image is seen twice. One H100 takes some
minutes for all three.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.accuracy_models import MODELS
from tests.benchmarks.accuracy_task import CLASSES, batch

BATCH = 256
STEPS = {"resnet18-like": 3000, "mobilenetv2-like": 4000, "vit-small": 20000}
RATES = {"resnet18-like": 3e-3, "mobilenetv2-like": 3e-3, "vit-small": 1e-3}


def train(name: str, device: str) -> nn.Module:
    """The model, trained with a fixed seed."""
    torch.manual_seed(0)
    layout = torch.channels_last if device == "cuda" else torch.contiguous_format
    model = MODELS[name](CLASSES).to(device, memory_format=layout)
    steps = STEPS[name]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATES[name], weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATES[name], total_steps=steps)
    start = time.perf_counter()
    for step in range(steps):
        images, labels = batch(1_000_000 + step, BATCH, device)
        images = images.contiguous(memory_format=layout)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = F.cross_entropy(model(images), labels, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 1000 == 999:
            print(f"{name} {step + 1}: {loss.item():.3f}, {time.perf_counter() - start:.0f} s")
    return model.eval()


def rounded(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights in half precision, half the size to keep and to send."""
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    return {k: v.half() if v.is_floating_point() else v for k, v in state.items()}


@torch.no_grad()
def accuracy(model: nn.Module, device: str, batches: int = 8) -> float:
    """Percent right of held-out images."""
    right = total = 0
    for seed in range(batches):
        images, labels = batch(seed, 512, device)
        right += int((model(images).argmax(1) == labels).sum())
        total += len(labels)
    return 100 * right / total


def main() -> None:
    """Trains what is asked for, or all."""
    folder, *names = sys.argv[1:]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for name in names or MODELS:
        model = train(name, device)
        print(f"{name}: {accuracy(model, device):.2f} % held out")
        Path(folder).mkdir(parents=True, exist_ok=True)
        torch.save(rounded(model), Path(folder, f"{name}.pt"))


if __name__ == "__main__":
    main()
