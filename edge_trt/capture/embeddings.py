# SPDX-License-Identifier: Apache-2.0
"""Embeddings whose rows are bounded in length, which PyTorch does in place at every look-up."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def bounded_embeddings(model: nn.Module) -> Generator[None]:
    """While a model is exported, its embeddings hold rows that are within `max_norm` already.

    A row that was bounded is not changed by bounding it again, so a look-up in the bounded table
    gives what the model gives. Weights that other modules use too are left alone: they would see
    only those rows change that were looked up.
    """
    uses = Counter(id(p) for m in model.modules() for p in m.parameters(recurse=False))
    bounded = [
        module
        for module in model.modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag)
        and module.max_norm is not None
        and uses[id(module.weight)] == 1
    ]
    before = [(module, module.max_norm, module.weight) for module in bounded]
    try:
        for module in bounded:
            module.weight = nn.Parameter(_bounded(module), requires_grad=False)
            module.max_norm = None
        yield
    finally:
        for module, max_norm, weight in before:
            module.max_norm, module.weight = max_norm, weight


def _bounded(module: nn.Embedding | nn.EmbeddingBag) -> torch.Tensor:
    table = module.weight.detach().clone()
    assert module.max_norm is not None
    every = torch.arange(len(table))
    return torch.embedding_renorm_(table, every, float(module.max_norm), module.norm_type)
