# SPDX-License-Identifier: Apache-2.0
"""A text encoder in the manner of BERT, with learned positions and a padding mask.

model = TextEncoder(layers=2).eval()
hidden, pooled = model(ids, mask)  # int64 [batch, sequence], 1 where a token is
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """Self-attention with the additive mask written out, as BERT's first implementations do."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)
        self.heads = heads

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, sequence, width = x.shape
        query, key, value = (
            part(x).view(batch, sequence, self.heads, -1).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-1, -2) / math.sqrt(width // self.heads) + mask
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, sequence, width)
        return self.output(mixed)


class Layer(nn.Module):
    """Attention and a feed-forward network, each followed by its normalization."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.norm1(x + self.attention(x, mask))
        return self.norm2(x + self.feed(x))


class TextEncoder(nn.Module):
    """The whole, with a pooled first token."""

    def __init__(
        self, words: int = 100, width: int = 32, heads: int = 4, layers: int = 2, longest: int = 512
    ) -> None:
        super().__init__()
        self.word, self.place = nn.Embedding(words, width), nn.Embedding(longest, width)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.pooler = nn.Linear(width, width)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.word(ids) + self.place(places))
        hidden = (1.0 - mask[:, None, None, :].to(x.dtype)) * torch.finfo(x.dtype).min
        for layer in self.layers:
            x = layer(x, hidden)
        return x, self.pooler(x[:, 0]).tanh()
