# SPDX-License-Identifier: Apache-2.0
"""Made reader.safetensors; some minutes on two cores.

python examples/question_answering/train.py
"""

from __future__ import annotations

import torch
from corpus import encoded, sample
from model import WEIGHTS, Reader
from safetensors.torch import save_file
from torch import nn

STEPS, BATCH, RATE = 1500, 64, 2e-3


def main() -> None:
    """Trains on passages that never repeat, the short ones first."""
    torch.manual_seed(0)
    model = Reader().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    for step in range(STEPS):
        people = 2 if step < STEPS // 4 else None
        samples = [sample(seed, people) for seed in range(step * BATCH, (step + 1) * BATCH)]
        batch = {name: torch.from_numpy(array) for name, array in encoded(samples).items()}
        spans = torch.tensor([one.span for one in samples])
        optimizer.zero_grad()
        first, last = model(**batch)
        loss = nn.functional.cross_entropy(first, spans[:, 0])
        loss = loss + nn.functional.cross_entropy(last, spans[:, 1])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            right = ((first.argmax(1) == spans[:, 0]) & (last.argmax(1) == spans[:, 1])).float()
            print(f"step {step + 1}: loss {loss.item():.3f}, right {right.mean():.1%}", flush=True)
    save_file({name: w.half() for name, w in model.state_dict().items()}, WEIGHTS)


if __name__ == "__main__":
    main()
