# SPDX-License-Identifier: Apache-2.0
"""Batch-norms are exported as torch does it by itself, only sooner."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import nn

from edge_trt.capture.batch_norms import whole_batch_norms

BATCH = torch.export.Dim("batch", min=2, max=8)


class Layouts(nn.Module):
    """Batch-norms of inputs whose memory lies in every way."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.BatchNorm2d(4)
        self.rows = nn.BatchNorm1d(4)
        self.plain = nn.BatchNorm2d(4, affine=False)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [
            self.maps(x[:, :, ::2, 1:].transpose(2, 3)),
            self.rows(x.flatten(2)),
            self.rows(x[:, :, 0, 0]),
            self.maps(x.to(memory_format=torch.channels_last)),
            self.plain(x.expand(2, *x.shape).reshape(-1, *x.shape[1:])),
            self.maps(x.unsqueeze(2).expand(-1, -1, 3, -1, -1)[:, :, 0]),
            self.maps(x.half()),
        ]


def exported(model: nn.Module, x: torch.Tensor, dims: Any, shapes: AbstractContextManager) -> Any:
    with shapes:
        return torch.export.export(model.eval(), (x,), dynamic_shapes=dims, strict=False)


def described(program: torch.export.ExportedProgram) -> list[tuple[str, ...]]:
    """Every call with the type, sizes and strides of its result."""
    return [
        (node.format_node() or "", str(value.dtype), str(value.shape), str(value.stride()))
        for node in program.graph.nodes
        if isinstance(value := node.meta.get("val"), torch.Tensor)
    ]


@pytest.mark.parametrize("dims", [None, ({0: BATCH},)], ids=["fixed", "batch"])
def test_program_is_the_same(dims: Any) -> None:
    model, x = Layouts(), torch.randn(2, 4, 6, 8)
    ours = exported(model, x, dims, whole_batch_norms())
    theirs = exported(model, x, dims, nullcontext())
    assert described(ours) == described(theirs)
    assert str(ours.range_constraints) == str(theirs.range_constraints)


@pytest.mark.parametrize(
    ("shape", "dims", "words"),
    [
        ((2, 5, 4, 4), None, "should contain 5 elements not 4"),
        ((2, 4, 4, 4), ({1: torch.export.Dim("channels", min=2, max=9)},), "channels"),
    ],
    ids=["other channels", "any channels"],
)
def test_channels_are_checked(shape: tuple[int, ...], dims: Any, words: str) -> None:
    with pytest.raises(Exception, match=words):
        exported(nn.BatchNorm2d(4), torch.randn(shape), dims, whole_batch_norms())


def test_training_goes_the_usual_way() -> None:
    def norm(x: torch.Tensor) -> torch.Tensor:
        return torch.batch_norm(
            x, None, None, torch.zeros(4), torch.ones(4), True, 0.1, 1e-5, False
        )

    x = torch.randn(2, 4, 3)
    with whole_batch_norms(), torch._subclasses.FakeTensorMode() as mode:
        assert norm(mode.from_tensor(x)).shape == x.shape
    torch.testing.assert_close(
        norm(x),
        (x - x.mean((0, 2), keepdim=True))
        * torch.rsqrt(x.var((0, 2), correction=0, keepdim=True) + 1e-5),
    )
