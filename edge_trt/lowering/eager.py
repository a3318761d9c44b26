# SPDX-License-Identifier: Apache-2.0
"""The model's own answers, for self-test vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from edge_trt.capture.mutations import written_buffers
from edge_trt.lowering.inline_contexts import inline_contexts
from edge_trt.lowering.stable_sorts import StableSorts
from edge_trt.lowering.unlifting import unlift

if TYPE_CHECKING:
    from torch import fx
    from torch.export import ExportedProgram

Eager = Callable[[Sequence[torch.Tensor]], list[np.ndarray]]


def eager(program: ExportedProgram) -> Eager:
    """A function from input tensors to output arrays, which runs the program as PyTorch would.

    `ExportedProgram.module()` does the same behind a check of every shape, whose code takes longer
    to make than most models take to run.
    """
    gm = harmless(program)

    def run(inputs: Sequence[torch.Tensor]) -> list[np.ndarray]:
        with torch.inference_mode(), StableSorts():
            results = gm(*inputs)
        return [r.detach().resolve_conj().resolve_neg().numpy() for r in results]

    return run


def eager_by_name(
    program: ExportedProgram, inputs: Sequence[str], outputs: Sequence[str]
) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """The same, from arrays by name to arrays by name."""
    run = eager(program)

    def by_name(feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = [torch.from_numpy(np.array(feed[name])) for name in inputs]
        return dict(zip(outputs, run(tensors), strict=True))

    return by_name


def harmless(program: ExportedProgram) -> fx.GraphModule:
    """The program as a module that can be run: what it writes to is not the user's model."""
    gm, written = unlift(program), written_buffers(program)
    if inline_contexts(gm):  # what runs below a dispatch mode, as `StableSorts`, sees no autocast
        gm.recompile()
    for node in gm.graph.nodes:
        if node.op == "get_attr" and node.meta.get("fqn") in written:
            setattr(gm, str(node.target), getattr(gm, str(node.target)).clone())
    return gm


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
