# SPDX-License-Identifier: Apache-2.0
"""What a step of lowering assumes of open sizes is noticed, and does not hold by chance."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import edge_trt
from edge_trt import lowering
from edge_trt.errors import UnsupportedError
from edge_trt.lowering.edit import tensor


class _Rows(nn.Module):
    def forward(self, x):
        return torch.cat([x, x.flip(0)]).relu()


def _fixing(gm):
    """Asks for the size as a number."""
    node = gm.graph.find_nodes(op="placeholder")[0]
    return int(tensor(node).shape[0]) == 0


def _narrowing(gm):
    """Asks whether there are many rows, and goes on as if there always were."""
    first = gm.graph.find_nodes(op="placeholder")[0]
    if tensor(first).shape[0] > 4:
        for node in gm.graph.find_nodes(op="call_function", target=torch.ops.aten.flip.default):
            with gm.graph.inserting_before(node):
                rows = gm.graph.call_function(torch.ops.aten.sub.Tensor, (first, 1))
                rows.meta.update(first.meta)
            guard = (first, rows)
            node.replace_input_with(*guard)
    return True


def _asking(gm):
    """Asks what makes no difference."""
    return bool(tensor(gm.graph.find_nodes(op="placeholder")[0]).shape[0] > 4)


def _compile(monkeypatch, step):
    passes = (step, *lowering.SIMPLIFICATION)
    monkeypatch.setattr(lowering, "SIMPLIFICATION", passes)
    given = edge_trt.Input(("n", 3), min=2, opt=5, max=9)
    return edge_trt.compile(_Rows().eval(), given, self_test=0)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (_fixing, r"x\.shape\[0\] == 5, which does not hold for x\.shape\[0\]=\d"),
        (
            _narrowing,
            r"x\.shape\[0\] > 4.*does not hold for x\.shape\[0\]=[234]: give a range without",
        ),
    ],
)
def test_an_assumption_of_a_step_is_refused(monkeypatch, step, says):
    with pytest.raises(UnsupportedError, match=says):
        _compile(monkeypatch, step)


def test_a_question_that_changes_nothing_leaves_the_range_as_it_was(monkeypatch):
    module = _compile(monkeypatch, _asking).module()
    for rows in (2, 5, 9):
        x = torch.randn(rows, 3)
        torch.testing.assert_close(module(x), _Rows()(x))


class _Correlation(nn.Module):
    """The weight is an input, whose sizes are open."""

    def forward(self, x, w):
        return F.conv2d(x, w, padding="same") if self.same else F.conv2d(x, w)

    def __init__(self, *, same: bool) -> None:
        super().__init__()
        self.same = same


@pytest.mark.filterwarnings("ignore:Using padding=.same. with even")
@pytest.mark.parametrize("same", [True, False])
def test_a_weight_of_open_sizes_falls_back(same):
    sizes = {"min": 3, "opt": 5, "max": 7}
    given = (torch.ones(1, 1, 9, 9), edge_trt.Input((1, 1, "k", "k"), **sizes))
    with pytest.warns(edge_trt.EdgeTrtWarning, match="whose weight has open sizes"):
        bundle = edge_trt.compile(_Correlation(same=same).eval(), given, self_test=0)
    for k in (3, 4, 7):
        x, w = torch.randn(1, 1, 9, 9), torch.randn(1, 1, k, k)
        expected = _Correlation(same=same)(x, w)
        torch.testing.assert_close(bundle.module()(x, w), expected, rtol=1e-4, atol=1e-5)


def test_a_block_of_open_sizes_that_falls_back_keeps_the_names_of_its_inputs():
    given = edge_trt.Input(("n", 5), min=2, opt=3, max=9)
    with pytest.warns(edge_trt.EdgeTrtWarning, match="runs nothing"):
        bundle = edge_trt.compile(
            _Rows().eval(), given, fallback="torch", fallback_ops=("cat", "flip", "relu")
        )
    x = torch.randn(9, 5)
    torch.testing.assert_close(bundle.module()(x), _Rows()(x))
