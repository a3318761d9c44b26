# SPDX-License-Identifier: Apache-2.0
"""What torch assumes of sizes while it traces a program again."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim, export

from edge_trt.capture import Input, capture
from edge_trt.capture.retraced import environment_of, known_sizes, settle_sizes
from edge_trt.errors import UnsupportedError
from edge_trt.lowering import lower, unlift
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
    before = known_sizes(traced)
    assert before is not None
    before = replace(before, guards=frozenset())  # as if all came by the retrace
    with pytest.raises(UnsupportedError, match=r"does not hold for x_0.shape\[0\]=.: give a range"):
        settle_sizes(traced, wrong, before)
    settle_sizes(traced, traced, before)
    assert not environment_of(traced).guards


def _expanded(write):
    def program(x):
        row = x[0] * 1
        write(row.expand(3, 4), x)
        return row * 1

    return program


def _kept(view):
    def program(x):
        y = x * 1
        view(y)[0].add_(1)
        return y * 1

    return program


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_expanded(lambda y, x: y.fill_(1)), "fill_ writes in place to elements of expand"),
        (_expanded(lambda y, x: y[:2].fill_(1)), "fill_ writes in place to elements of slice"),
        (_expanded(lambda y, x: y[1].add_(1)), "add_ writes in place to elements of expand"),
        (_expanded(lambda y, x: y[1].contiguous().relu_()), "relu_ writes in place to .* expand"),
        (_expanded(lambda y, x: torch.add(x[1], 1, out=y[1])), "writes in place to .* expand"),
        (_expanded(lambda y, x: torch.broadcast_to(y[0], (2, 4))[1].mul_(2)), "broadcast_to"),
        (_expanded(lambda y, x: y.contiguous()[1].add_(1)), None),
        (_kept(lambda y: F.dropout(y, 0.5, False)), None),
        (_kept(lambda y: F.dropout(y, 0.0, True)), None),
        (_kept(lambda y: F.alpha_dropout(y, 0.5, False)), None),
        (_kept(lambda y: y.reshape(-1)), None),
        (_kept(lambda y: y.t().reshape(-1)), None),
        (_kept(lambda y: y.contiguous()), None),
    ],
)
def test_a_program_from_a_file_writes_to_what_it_wrote_before(function, message, tmp_path):
    """Its values don't tell what shares memory."""
    model, x = _Model(function).eval(), torch.randn(3, 4)
    torch.export.save(export(model, (x,)), tmp_path / "p.pt2")
    with pytest.raises(UnsupportedError, match=message) if message else nullcontext():
        program = capture(tmp_path / "p.pt2").program
        torch.testing.assert_close(lower(program)(x)[0], model(x))
