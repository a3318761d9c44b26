# SPDX-License-Identifier: Apache-2.0
"""Rows of the converter tables: what a row says, and how its inputs are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from edge_trt.capture.fake_quantizers import whole_fake_quantizers

SIZES = {"b": (1, 2, 4), "n": (4, 6, 9), "h": (8, 9, 13), "w": (7, 8, 12)}
"""Symbolic sizes: the least, usual and largest one."""
DIMS = {name: torch.export.Dim(name, min=low, max=high) for name, (low, _, high) in SIZES.items()}


@dataclass(frozen=True)
class Arg:
    """An input: its type, shape and range; sizes that are names in `SIZES` are dynamic."""

    dtype: torch.dtype
    shape: tuple[int | str, ...]
    low: float = -2.0
    high: float = 2.0

    def make(self) -> torch.Tensor:
        """Random elements at the usual sizes."""
        shape = [SIZES[d][1] if isinstance(d, str) else d for d in self.shape]
        if self.dtype is torch.bool:
            return torch.rand(shape) < 0.5
        if self.dtype.is_floating_point:
            return (torch.rand(shape) * (self.high - self.low) + self.low).to(self.dtype)
        return torch.randint(int(self.low), int(self.high) + 1, shape).to(self.dtype)


@dataclass(frozen=True)
class Row:
    """One operator in one use.

    Attributes:
        name: what is special about it.
        run: a module or a function of the inputs.
        args: inputs; a tensor is taken as it is.
        kinds: expected layer kinds in order, None for any.
        refusal: part of the sentence with which support is refused.
        accuracy: largest relative error of each single element, for its own inputs; 0 is exact.
    """

    name: str
    run: Callable[..., Any]
    args: tuple[Arg | torch.Tensor, ...]
    kinds: str | None = None
    refusal: str = ""
    accuracy: float | None = None

    def module(self) -> nn.Module:
        """The row as a module in eval mode."""
        module = self.run if isinstance(self.run, nn.Module) else Calling(self.run)
        return module.eval().requires_grad_(False)

    def inputs(self) -> tuple[torch.Tensor, ...]:
        """Inputs at the usual sizes."""
        return tuple(a if isinstance(a, torch.Tensor) else a.make() for a in self.args)

    def ranges(self) -> list[dict[int, tuple[str, int, int, int]]] | None:
        """The dynamic axes of each input; None if there are none."""
        rows = [
            {axis: (d, *SIZES[d]) for axis, d in enumerate(a.shape) if isinstance(d, str)}
            for a in self.args
        ]
        return rows if any(rows) else None

    def program(self) -> torch.export.ExportedProgram:
        """The row as torch.export sees it, at the usual sizes."""
        axes = tuple(
            {axis: DIMS[d] for axis, (d, *_) in row.items()} for row in self.ranges() or ()
        )
        packed = (axes,) if isinstance(self.module(), Calling) else axes
        with whole_fake_quantizers():  # as capture does: else none takes a symbolic size
            return torch.export.export(
                self.module(), self.inputs(), dynamic_shapes=packed if axes else None
            )


class Calling(nn.Module):
    """A function as a module of positional inputs."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: torch.Tensor) -> Any:
        return self.function(*args)


def f(*shape: int | str, low: float = -2.0, high: float = 2.0) -> Arg:
    """A float32 input."""
    return Arg(torch.float32, shape, low, high)


def i64(*shape: int | str, low: int = -3, high: int = 3) -> Arg:
    """An int64 input."""
    return Arg(torch.int64, shape, low, high)


def i32(*shape: int | str, low: int = -3, high: int = 3) -> Arg:
    """An int32 input."""
    return Arg(torch.int32, shape, low, high)


def boolean(*shape: int | str) -> Arg:
    """A bool input."""
    return Arg(torch.bool, shape)
