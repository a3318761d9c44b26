# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from edge_trt.lowering import lower
from tests.lowering.graphs import agree, check, export, ops, text

X = torch.randn(2, 5)
COUNTS = torch.tensor([1, 2, 0, 3, 1])
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


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x.repeat_interleave(COUNTS, 1).relu(), ["index_select", "relu"]),
        (lambda x: x.repeat_interleave(COUNTS.int(), -1), ["index_select"]),
        (lambda x: x.repeat_interleave(COUNTS.repeat(2)), ["reshape", "index_select"]),
        (lambda x: x[:, torch.repeat_interleave(COUNTS)], ["index"]),
    ],
    ids=["columns", "int32", "elements", "places"],
)
def test_constant_counts_are_places(function, expected):
    gm = lower(export(function, X))
    assert ops(gm) == expected
    assert all(type(size) is int for shape in shapes(gm) for size in shape)
    check(gm)
    agree(gm, function, X)


def test_counts_that_depend_on_the_input_stay():
    gm = lower(export(lambda x: x.repeat_interleave((x[0] > 0).long(), 1), X))
    assert "repeat_interleave" in ops(gm)
