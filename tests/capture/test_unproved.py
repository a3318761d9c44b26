# SPDX-License-Identifier: Apache-2.0
"""Conditions on sizes that torch.export can't prove: taken where they make no difference."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edge_trt.capture import Input, capture
from edge_trt.capture.agreement import answers
from edge_trt.errors import CaptureError
from edge_trt.lowering.eager import eager


def _model(function) -> nn.Module:
    class Model(nn.Module):
        def forward(self, *x):
            return function(*x)

    return Model().eval()


def _five_unless_three(x):
    return x[1:-1] * (5 if x.shape[0] == 3 else 2)


REFUSED = {
    "one size": (
        _five_unless_three, ["x=3..6..9x3"], r"does not hold for x.shape\[0\]=3: write x=4..6..9x3"
    ),
    "number of chunks": (
        lambda x: torch.cat([c * i for i, c in enumerate(x.chunk(3))]), ["x=3..6..12x3"],
        r"a condition on a size that does not hold for x.shape\[0\]=4: write x=5..6..12x3"
    ),
    "number of pieces": (
        lambda x: torch.cat([c * i for i, c in enumerate(x.split(2))]), ["x=n:1..6..12x3"],
        "write x=n:5..6x3"
    ),
    "one row broadcasts": (
        lambda x: (x[1:-1] + x[:1]).squeeze(0), ["x=n:2..6..9x3"], "n=3.*write x=n:4..6..9x3"
    ),
    "a branch": (
        lambda x: x.sum(0) if x.shape[0] > 4 else x[1:-1].sum(0), ["x=n:2..4..9x3"],
        r"on a size, n <= 4, which does not hold for n=9: write x=n:2..4x3"
    ),
    "two sizes": (
        lambda x: x * 2 if x.shape[0] == x.shape[1] else x[1:-1] * 3, ["x=3..4..6x3..5..8"],
        r"between sizes, x.shape\[0\] != x.shape\[1\], which does not hold for"
    ),
    "sizes far apart": (
        lambda x: x * 2 if x.shape[0] + 7 == x.shape[1] else x[1:] * 3, ["x=h:3..4..9xw:3..5..19"],
        r"\(7 \+ h\) != w, which does not hold for"
    ),
    "too small": (
        lambda x: x[1:-2].unflatten(0, (1, -1)).amax(1) * x.shape[0], ["x=n:2..6..9x3"],
        "the model fails at n=2: .*: write x=n:4..6..9x3"
    ),
    "whole steps": (
        lambda x: x + torch.linspace(0, 20, x.shape[1], dtype=torch.int32), ["x=2x2..6..9"],
        "fixes dimension 1 of 'x' at 6"
    ),
    "a loop": (
        lambda x: sum(x[i] for i in range(x.shape[0])), ["x=2..4..6x3"], "fixes dimension 0 of 'x'"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("function", "texts", "message"), REFUSED.values(), ids=list(REFUSED))
def test_a_model_that_does_something_else_is_refused(function, texts, message):
    with pytest.raises(CaptureError, match=message):
        capture(_model(function), tuple(map(Input.parse, texts)))


@pytest.mark.parametrize("name", ["one size", "number of chunks", "a branch", "too small"])
def test_what_to_write_is_taken_and_right(name):
    function, texts, _ = REFUSED[name]
    with pytest.raises(CaptureError) as caught:
        capture(_model(function), tuple(map(Input.parse, texts)))
    given = Input.parse(str(caught.value).rpartition("write ")[2].partition(",")[0])
    captured = capture(_model(function), (given,))
    run = eager(captured.program)
    (dim,) = captured.signature.dims.values()
    for size in range(dim.min, dim.max + 1):
        x = torch.randn(size, 3)
        torch.testing.assert_close(torch.as_tensor(run([x])[0]), function(x))


def test_conditions_that_no_solver_solves_are_compared():
    def padded(x):
        x = nn.functional.avg_pool2d(x, 2, 2)
        x = nn.functional.pad(x, (0, -x.shape[-1] % 4, 0, -x.shape[-2] % 4))
        first, second = x.chunk(2, -1)
        return second + first.mean(-1, keepdim=True)

    captured = capture(_model(padded), Input.parse("x=1..2..3x3xh:7..9..14xw:6..10..12"))
    assert [(d.min, d.max) for d in captured.signature.dims.values()] == [(1, 3), (7, 14), (6, 12)]


def test_sizes_that_are_equal_by_chance_stay_two():
    model = _model(lambda x: x.reshape(-1, x.shape[0]).t().contiguous().chunk(2, 1)[1])
    captured = capture(model, Input.parse("x=h:2..6..8xw:2..6..8"))
    assert set(captured.signature.dims) == {"h", "w"}


def test_equal_names_stay_equal():
    """One name in two inputs, of which the model says nothing, and a slice that needs no proof."""
    model = _model(lambda x, y: (x[:, : x.shape[1] // 2] * 2, y + 1))
    given = tuple(Input.parse(f"{name}=batch:1..2..4xn:2..6..9") for name in "xy")
    captured = capture(model, given)
    shapes = [spec.shape for spec in captured.signature.inputs]
    assert shapes == [["batch", "n"], ["batch", "n"]]
    assert [d.max for d in captured.signature.dims.values()] == [4, 9]


def test_what_a_model_keeps_of_a_call_is_not_seen_by_the_next():
    class Keeping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()
            self.inner.size = None

        def forward(self, x):
            if self.inner.size is None:
                self.inner.size = x.shape[0]
            return x[1:-1] * self.inner.size

    model = Keeping().eval()
    assert float(answers(model, (torch.ones(4),), {}).sum()) == 8
    assert model.inner.size is None
    captured = capture(model, Input.parse("x=n:2..4..9"))
    run = eager(captured.program)
    for size in range(2, 10):
        assert float(run([torch.ones(size)])[0].sum()) == size * (size - 2)


def test_a_random_model_is_not_compared():
    model = _model(lambda x: (x[1:-1] + torch.rand_like(x[1:-1])).squeeze(0))
    with pytest.raises(CaptureError, match="can't find out at which of the sizes"):
        capture(model, Input.parse("x=2..6..9x3"))
