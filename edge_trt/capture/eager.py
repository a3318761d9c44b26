# SPDX-License-Identifier: Apache-2.0
"""The model's own answers, for self-test vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch.utils import _pytree as pytree

from edge_trt.capture.export import Captured
from edge_trt.capture.signature import user_inputs

Eager = Callable[[Sequence[torch.Tensor]], list[np.ndarray]]


def eager(captured: Captured) -> Eager:
    """A function from input tensors, in the signature's order, to output arrays in its order."""
    module = captured.program.module()
    arguments = user_inputs(captured.program)
    spec = cast("pytree.TreeSpec", captured.program.call_spec.in_spec)

    def run(inputs: Sequence[torch.Tensor]) -> list[np.ndarray]:
        tensors = iter(inputs)
        leaves: list[Any] = [a.constant if a.value is None else next(tensors) for a in arguments]
        args, kwargs = pytree.tree_unflatten(leaves, spec)
        with torch.inference_mode():
            results = pytree.tree_leaves(module(*args, **kwargs))
        return [
            r.detach().resolve_conj().resolve_neg().numpy()
            for r in results
            if isinstance(r, torch.Tensor)
        ]

    return run


def vary(examples: Sequence[torch.Tensor], seed: int) -> list[torch.Tensor]:
    """Other inputs of the same sizes and kinds.

    Floats are drawn with the example's mean and deviation, integers and bools are the example's in
    another order, so that indices stay in range.
    """
    generator = torch.Generator().manual_seed(seed)
    return [_vary(e, generator) for e in examples]


def _vary(example: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if example.is_floating_point() and example.numel() > 1:
        noise = torch.randn(example.shape, generator=generator)
        wide = example.float()
        deviation, mean = torch.std_mean(wide)
        spread = deviation if bool(deviation > 0) else torch.ones(())
        return (noise * spread + mean).to(example.dtype)
    order = torch.randperm(example.numel(), generator=generator)
    return example.reshape(-1)[order].reshape(example.shape)
