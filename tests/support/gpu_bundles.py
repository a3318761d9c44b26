# SPDX-License-Identifier: Apache-2.0
"""Bundles for a machine with a GPU but no TensorRT: PyTorch segments run on the GPU instead."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch

from edge_trt_runtime.manifest import Range
from tests.support.bundles import Draft, node, spec


class Call(torch.nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def program(function: Callable[..., torch.Tensor], shape: list[int], *, open_batch: bool) -> bytes:
    """What `torch.export.save` writes."""
    dims = {"x": {0: torch.export.Dim("n", min=1, max=64)}} if open_batch else None
    exported = torch.export.export(Call(function), (torch.randn(shape),), dynamic_shapes=dims)
    buffer = io.BytesIO()
    torch.export.save(exported, buffer)
    return buffer.getvalue()


def kernels(count: int, scale: float = 1.0) -> Callable[[torch.Tensor], torch.Tensor]:
    """As many small kernels, one after the other."""

    def function(x: torch.Tensor) -> torch.Tensor:
        for _ in range(count):
            x = torch.sin(x) * scale if scale != 1.0 else torch.sin(x)
        return x

    return function


def write_torch(path: Path, shape: list[int], *functions: Callable[..., torch.Tensor]) -> Path:
    """PyTorch segments one after the other; with two and more the host lies between the first two.

    A first size of 0 stands for an open one of 1 to 64.
    """
    open_batch = shape[0] == 0
    sizes: list[int | str] = ["n", *shape[1:]] if open_batch else [*shape]
    example = [4, *shape[1:]] if open_batch else shape
    names = ["x", *(f"v{i}" for i in range(len(functions) + (len(functions) > 1)))]
    draft = Draft(
        inputs=[spec("x", sizes)],
        outputs=[spec("y", sizes)],
        results={"y": names[-1]},
        dims={"n": Range(1, 4, 64)} if open_batch else {},
        values=[spec(name, sizes) for name in names[1:]],
    )
    waiting = list(functions)
    for i, (source, target) in enumerate(pairwise(names)):
        if i == 1:
            draft.network(f"s{i}", [source], [target], [node("Neg", source, target)])
        else:
            data = program(waiting.pop(0), example, open_batch=open_batch)
            draft.torch(f"s{i}", [source], [target], data)
    return draft.write(path)
