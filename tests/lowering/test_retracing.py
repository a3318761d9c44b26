# SPDX-License-Identifier: Apache-2.0
"""What torch assumes of sizes while it traces a program again."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim, export

from edge_trt.capture import Input, capture
from edge_trt.capture.retraced import environment_of, settle_sizes
from edge_trt.errors import UnsupportedError
from edge_trt.lowering import unlift
from edge_trt.lowering.retracing import retrace


class _Model(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *x):
        return self.function(*x)


def _written(x):
    """What has to be traced again: a write through a view without inverse."""
    y = x * 1
    y.as_strided((2,), (2,)).mul_(3)
    return y


def _cut(x):
    return _written(x[1:-1])


def _cut_after(x):
    y = _written(x)
    return y[1:-1] * y[2:].sum(0), y[1:-1].reshape(-1)


def _gram(x):
    z = _written(x)[:, :2][1:-1]
    return z.reshape(-1), z.softmax(0), z.t() @ z


def _half(x):
    y, half = _written(x), x.shape[0] // 2
    return y[half:] + y[half : half + 1], torch.cat([y[half:], y[1:]])


@pytest.mark.parametrize(
    ("function", "least"), [(_cut, 3), (_cut_after, 3), (_gram, 3), (_half, 2), (_written, 1)]
)
def test_a_retrace_assumes_nothing_of_sizes(function, least):
    model = _Model(function).eval()
    captured = capture(model, (Input.parse(f"x={least}..5..8x4"),))
    environment = environment_of(captured.program)
    before = len(environment.guards)
    gm = unlift(retrace(captured.program))
    assert [node.name for node in gm.graph.find_nodes(op="placeholder")] == captured.input_names
    (symbol,) = environment.var_to_range
    for guard in environment.guards[before:]:
        assert all(guard.expr.xreplace({symbol: n}) for n in range(max(least, 2), 9)), guard.expr
    for rows in range(least, 9):
        x = torch.randn(rows, 4)
        expected = model(x)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for got, want in zip(gm(x.clone()), expected, strict=True):
            torch.testing.assert_close(got, want)


def test_a_retrace_that_is_right_for_some_sizes_only_is_refused():
    def program(function):
        dims = {"x": ({0: Dim.AUTO(min=2, max=9)},)}
        return export(_Model(function), (torch.randn(6, 4),), dynamic_shapes=dims)

    traced = program(lambda x: x[1:-1])
    wrong = program(lambda x: x[1:-1] * 2)
    with pytest.raises(UnsupportedError, match=r"does not hold for x_0.shape\[0\]=.: give a range"):
        settle_sizes(traced, wrong, 0)
    settle_sizes(traced, traced, 0)
    assert not environment_of(traced).guards
