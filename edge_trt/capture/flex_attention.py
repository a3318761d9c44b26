# SPDX-License-Identifier: Apache-2.0
"""Lets torch.export see what `flex_attention` computes, not one call that holds functions."""

from __future__ import annotations

import math
import sys
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_MODULE = "torch.nn.attention.flex_attention"  # loaded by those who use it
_INSTEAD: dict[str, Any] = {  # as in torch 2.13
    "flex_attention_hop": lambda *call: _attention(*call),
    "setup_compilation_env": nullcontext,  # it takes away what export sees regions of vmap by
    "_validate_device": lambda *_: None,  # it refuses weights that could be trained
    "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG": True,
}


@contextmanager
def flex_attention_as_scores() -> Generator[None]:
    """While an export runs, scores are a matrix, and what changes or masks them is applied to it.

    So does PyTorch without a compiler. What says which blocks a mask leaves out has no reader then.
    """
    module = sys.modules.get(_MODULE)
    if module is None or not all(hasattr(module, name) for name in _INSTEAD):
        yield
        return
    with patch.multiple(module, **_INSTEAD):
        yield


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    score_mod: Callable[..., Any],
    block_mask: tuple[Any, ...],
    scale: float,
    kernel_options: Any,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the result, and the sum and the greatest of the scores as powers of 2."""
    del kernel_options  # how a GPU of a workstation computes it
    groups = query.size(1) // key.size(1)
    key, value = (x.repeat_interleave(groups, 1) if groups > 1 else x for x in (key, value))
    precise = torch.float64 if query.dtype is torch.float64 else torch.float32
    scores = query.to(precise) @ key.to(precise).transpose(-2, -1) * scale
    scores = _changed(scores, score_mod, block_mask[-1]).to(precise)
    result = torch.ops.aten._safe_softmax.default(scores, -1).to(query.dtype) @ value.to(
        query.dtype
    )
    return result, scores.logsumexp(-1) / math.log(2), scores.amax(-1) / math.log(2)


def _changed(
    scores: torch.Tensor, score_mod: Callable[..., Any], mask_mod: Callable[..., Any]
) -> torch.Tensor:
    """Apply the functions of single scores to all of them."""
    from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex
    from torch.nn.attention.flex_attention import _vmap_for_bhqkv

    places = [torch.arange(size, device=scores.device) for size in scores.shape]
    with TransformGetItemToIndex():  # a place as an index is a tensor, and no number to ask for
        seen = _vmap_for_bhqkv(mask_mod, prefix=())(*places)
        scores = _vmap_for_bhqkv(score_mod, prefix=(0,))(scores, *places)
    return scores.masked_fill(~seen, -math.inf)
