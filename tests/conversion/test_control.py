# SPDX-License-Identifier: Apache-2.0
"""Converters of `control.py`: each choice is made both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.conversion.checking import check_lowered, check_row
from tests.conversion.rows import Row, f, i64


class Layers(nn.Module):
    """Weights of one branch, of the other, and of both."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.conv = nn.Conv1d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: torch.Tensor, flag: torch.Tensor) -> torch.Tensor:
        def true(x: torch.Tensor) -> torch.Tensor:
            return self.linear(x)

        def false(x: torch.Tensor) -> torch.Tensor:
            return self.norm(self.conv(x)).relu() + self.linear.bias

        return torch.cond(flag, true, false, (x,)) * 2


def choose(true: Callable[..., Any], false: Callable[..., Any]) -> Callable[..., Any]:
    """A model of one choice; its last input decides."""
    return lambda *args: torch.cond(args[-1], true, false, args[:-1])


def nested(x: torch.Tensor, flag: torch.Tensor) -> torch.Tensor:
    def inner(x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda x: x * 3, lambda x: x.exp(), (x,))

    return torch.cond(flag, inner, lambda x: -x, (x,)) + 1


def around(x: torch.Tensor, flag: torch.Tensor) -> torch.Tensor:
    """Branches read what is computed outside, and sizes."""
    y, rows = torch.tanh(x), x.shape[0]
    return torch.cond(flag, lambda x: (x + y) * rows, lambda x: x - y[0], (x,))


def written(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    x[:, 0] = 2
    return x.relu_()


MODELS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "one result": (choose(torch.sin, torch.neg), (f("b", 4),)),
    "results of several types": (
        choose(lambda x: (x.exp(), x > 1), lambda x: (x * x, x < 0)), (f("b", 4),),
    ),
    "weights": (Layers(), (f("b", 3, 4),)),
    "inside of another": (nested, (f(3, 4),)),
    "inside of another, of any size": (nested, (f("b", 4),)),
    "values from outside": (around, (f("b", 4),)),
    "writes": (choose(written, torch.cos), (f("b", 4),)),
    "operators that are decomposed": (
        choose(lambda x: torch.addcmul(x, x, x), lambda x: torch.logaddexp(x, x)), (f("b", 4),),
    ),
    "integers": (choose(lambda i: i + 1, lambda i: i * 2), (i64("b"),)),
    "constants": (choose(torch.ones_like, torch.zeros_like), (f("b", 4),)),
    "views": (choose(lambda x: x[:, :2].exp(), lambda x: x[:, :2].sin()), (f("b", 4),)),
    "transposed views": (
        choose(lambda x, y: x @ y.T + x @ y.mT, lambda x, y: x @ y.H - x @ y.adjoint()),
        (f("b", 4), f(3, 4)),
    ),
    "permuted views": (
        choose(lambda x, y: x @ y.permute(1, 0), lambda x, y: x @ y.movedim(0, 1) * 2),
        (f("b", 4), f(3, 4)),
    ),
}  # fmt: skip
ROWS = [
    Row(f"{name}: {flag}", model, (*args, torch.tensor(flag)))
    for name, (model, args) in MODELS.items()
    for flag in (True, False)
]


def by_size(limit: int) -> Callable[..., Any]:
    """A model whose batch decides."""
    return lambda x: torch.cond(x.shape[0] > limit, torch.sin, torch.neg, (x,)) * 2


def by_size_and_values(x: torch.Tensor) -> torch.Tensor:
    def inner(x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, torch.sin, torch.exp, (x,))

    return torch.cond(x.shape[0] > 2, inner, torch.neg, (x,)) * 2


SIZED = [
    # The batch is 1, 2 or 4: torch's own ranges begin at 2, where more than 1 is always true.
    *(Row(f"a batch of more than {n}", by_size(n), (f("b", 4),)) for n in (0, 1, 2, 4)),
    Row(
        "two sizes",
        lambda x: torch.cond(x.shape[0] * x.shape[1] > 12, torch.sin, torch.neg, (x,)),
        (f("b", "n"),),
    ),
    Row("a size around a tensor", by_size_and_values, (f("b", 4),)),
]
REFUSED = [
    Row(
        "an operator in a branch",
        choose(lambda x: torch.fft.fft(x).real.contiguous(), torch.neg),
        (f("b", 4), torch.tensor(True)),
        refusal="its branch calls aten.fft_fft.default",
    ),
    Row(
        "a condition on sizes of a wide range",
        lambda x: torch.cond(x.numel() ** 2 > 9**6, torch.sin, torch.neg, (x,)),
        (f("b", "n", "h", "w"),),
        refusal="give the sizes narrower ranges",
    ),
    Row(
        "results of two sizes",
        choose(lambda x: x * 1, lambda x: x[:2] * 1),
        (f(3, 4), torch.tensor(True)),
        refusal="pad them to one size",
    ),
]


@pytest.mark.parametrize("row", [*ROWS, *SIZED, *REFUSED], ids=lambda row: row.name)
def test_control(row: Row) -> None:
    check_lowered(row)


def test_as_captured() -> None:
    check_row(ROWS[0])
