# SPDX-License-Identifier: Apache-2.0
import torch

from edge_trt.lowering import lower
from tests.lowering.graphs import agree, check, export, ops, text

X = torch.randn(2, 5)
MASK = torch.tensor([True, False, True, True, False])


def shapes(gm):
    found = (node.meta.get("val") for node in gm.graph.nodes)
    return [tuple(value.shape) for value in found if isinstance(value, torch.Tensor)]


def test_sizes_behind_a_mask_are_numbers():
    def function(x, mask):
        return x[:, mask].relu().sum(0)

    gm = lower(export(function, X, mask=MASK))
    assert ops(gm) == ["index", "relu", "sum"]
    assert shapes(gm)[-3:] == [(2, 3), (2, 3), (3,)]
    assert all(type(size) is int for shape in shapes(gm) for size in shape)
    check(gm)
    agree(gm, lambda x: function(x, MASK), X)


def test_places_of_a_constant_are_a_constant():
    gm = lower(export(lambda x, mask: x[:, mask.nonzero()[:, 0]], X, mask=MASK))
    assert ops(gm) == ["index"]
    check(gm)
    agree(gm, lambda x: x[:, MASK], X)


def test_a_mask_that_depends_on_the_input_stays():
    gm = lower(export(lambda x: x[x > 0], X))
    assert ops(gm)[:2] == ["gt", "index"]


def test_a_mask_before_a_branch_stays():
    def function(x, mask):
        chosen = x[:, mask].sum()
        return torch.cond(x.sum() > 0, lambda t: t + 1, lambda t: t - 1, (chosen,))

    gm = lower(export(function, X, mask=MASK))
    assert "u0" in str(shapes(gm))
    assert "index" in text(gm)
