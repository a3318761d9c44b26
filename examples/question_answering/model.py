# SPDX-License-Identifier: Apache-2.0
"""A reader in the manner of BERT: an encoder over question and passage, and two scores per token.

Two things make it learn in minutes where BERT takes days: it sees distances between tokens, as T5
does, in place of their positions, and is told which words of the passage are in the question.
"""

from __future__ import annotations

from pathlib import Path

import torch
from corpus import PAD, VOCABULARY
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

WEIGHTS = Path(__file__).with_name("reader.safetensors")
NEAR = 16
"""Tokens farther away than this are all alike."""
NEVER = -1e4
"""The score of what can't be in an answer, or must not be looked at."""


class Reader(nn.Module):
    """Scores every token as the first and as the last one of the answer."""

    def __init__(self, width: int = 64, layers: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.words = nn.Embedding(len(VOCABULARY), width)
        self.kinds = nn.Embedding(3, width)
        self.distances = nn.Embedding(2 * NEAR + 1, heads)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.ends = nn.Linear(width, 2)

    def forward(
        self, ids: torch.Tensor, segments: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Both [batch, tokens] of int64 -> scores as first and as last token, both the same."""
        place = torch.arange(ids.shape[1], device=ids.device)
        distance = (place[None, :] - place[:, None]).clamp(-NEAR, NEAR) + NEAR
        bias = self.distances(distance).permute(2, 0, 1)[None]
        bias = bias.masked_fill((ids == VOCABULARY[PAD])[:, None, None, :], NEVER)
        asked = (ids[:, :, None] == ids[:, None, :]) & (segments == 0)[:, None, :]
        kinds = segments + segments * asked.any(-1)
        x = self.words(ids) + self.kinds(kinds)
        for layer in self.layers:
            x = layer(x, bias)
        scores = self.ends(self.norm(x)).masked_fill((segments == 0)[..., None], NEVER)
        first, last = scores.unbind(-1)
        return first, last


class Layer(nn.Module):
    """Self-attention, then two linear layers, each of the normalized input and added to it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.read = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.think = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, width] and [batch, heads, tokens, tokens] -> [batch, tokens, width]."""
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.project(self.read(x)).chunk(3, dim=-1)
        )
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        x = x + self.join(found.transpose(1, 2).flatten(2))
        return x + self.think(x)


def trained() -> Reader:
    """The reader with the weights that train.py made, in eval mode."""
    model = Reader()
    model.load_state_dict({name: w.float() for name, w in load_file(WEIGHTS).items()})
    return model.eval()
