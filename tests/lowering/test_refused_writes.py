# SPDX-License-Identifier: Apache-2.0
"""Writes that can't be carried back to what they change, and state that outlives a call."""

import pytest
import torch
from torch import nn

import edge_trt
from edge_trt.errors import UnsupportedError
from edge_trt.lowering import lower
from tests.lowering.graphs import export, ops


@pytest.mark.parametrize(
    "write",
    [
        lambda y: y.expand(2, 2, 5).fill_(1),
        lambda y: y.expand(2, 2, 5)[1].add_(1),
        lambda y: torch.meshgrid(y[0], y[1], indexing="ij")[0].zero_(),
        lambda y: y.unfold(1, 2, 2).add_(1),
        lambda y: y.unfold(1, 2, 1).add_(1),
        lambda y: y.unfold(1, 2, 3)[0].relu_(),
        lambda y: y.as_strided((2, 2), (1, 1)).add_(1),
    ],
)
def test_a_write_that_torch_carries_back_wrongly_is_refused(write):
    def program(x):
        y = x * 1.5
        write(y)
        return y

    with pytest.raises(UnsupportedError, match=r"writes in place to elements of .* at .*clone"):
        lower(export(program, torch.randn(2, 5)))


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (lambda y: y[1:].as_strided((2,), (1,)).add_(1), "it reads a view by as_strided"),
        (lambda y: y.view(-1)[1:].as_strided((2,), (2,), 1)[:1].mul_(3), "by as_strided"),
        (lambda y: y.T.as_strided((3, 2), (1, 3)).add_(1), "it reads a view by as_strided"),
    ],
)
def test_a_write_that_torch_can_not_carry_back_is_refused(write, why):
    def program(x):
        y = x * 1.5
        write(y)
        return y

    with pytest.raises(UnsupportedError, match=rf"in place at .*py:\d+: .*{why}: clone"):
        lower(export(program, torch.randn(3, 5)))


def test_a_state_that_torch_can_not_carry_back_is_refused():
    class Resized(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("state", torch.zeros(8))

        def forward(self, x):
            self.state.resize_(x.shape[0])
            return x * 1

    with pytest.raises(UnsupportedError, match=r"carry back .* writes in place.*clone"):
        edge_trt.compile(Resized().eval(), torch.randn(4), target="cpu", states="io", dryrun=True)


class Counter(nn.Module):
    def __init__(self, *, read):
        super().__init__()
        self.register_buffer("count", torch.zeros(1))
        self.read = read

    def forward(self, x):
        self.count.add_(1)
        return x + self.count if self.read else x * 2


def test_state_that_outputs_depend_on_is_refused():
    with pytest.raises(UnsupportedError, match=r"buffer 'count' .* it becomes an input"):
        lower(export(Counter(read=True), torch.randn(3)))


def test_state_that_nobody_reads_is_dropped():
    gm = lower(export(Counter(read=False), torch.randn(3)))
    assert ops(gm) == ["mul"]
