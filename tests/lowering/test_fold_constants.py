# SPDX-License-Identifier: Apache-2.0
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edge_trt.lowering import lower
from edge_trt.lowering.fold_constants import fold_constants
from edge_trt.lowering.remove_dead_code import remove_dead_code
from tests.lowering.graphs import agree, check, export, lines, ops, text, unlifted

BATCH = torch.export.Dim("batch", min=2, max=16)


def folded(function, *args, dynamic=None, **buffers):
    gm = unlifted(function, *args, dynamic=dynamic, **buffers)
    assert fold_constants(gm)
    remove_dead_code(gm)
    check(gm)
    agree(gm, function, *args, **buffers)
    assert not fold_constants(gm)
    return gm


def test_text():
    def function(x, weight):
        z = x.new_zeros(4)
        z[:2] = 1
        return x @ weight.permute(1, 0) + z

    gm = folded(function, torch.randn(2, 3), weight=torch.randn(4, 3))
    assert text(gm) == lines("""
        x = input
        permute_1 = <permute>
        matmul = matmul(x, permute_1)
        new_zeros_1 = <new_zeros>
        add = add.Tensor(matmul, new_zeros_1)
        return (add)
    """)
    assert gm.new_zeros.tolist() == [1, 1, 0, 0]
    assert gm.permute.is_contiguous()


def test_each_reader_gets_the_value_of_its_moment():
    def function(x):
        z = torch.zeros(3)
        before = x + z
        z[1:].fill_(2)
        between = x * z[1:].sum()
        z.add_(1)
        return before, between, x - z

    gm = folded(function, torch.randn(3))
    assert ops(gm) == ["add", "mul", "sub"]


def test_one_tensor_read_before_and_after_a_write_is_two_constants():
    def function(x):
        z = torch.zeros(3)
        before = x + z
        z[1:].fill_(2)
        return before, x * z

    gm = folded(function, torch.randn(3))
    assert sorted(data.tolist() for data in gm.buffers()) == [[0, 0, 0], [0, 2, 2]]


def test_memory_that_a_variable_is_written_to_takes_no_part():
    def function(x):
        z = torch.zeros(2, 3)
        z[0] = 1
        z[1] = x
        ones = torch.ones(3) * 2
        return z + ones

    gm = unlifted(function, torch.randn(3))
    assert fold_constants(gm)
    assert "copy_" in ops(gm)
    assert "ones" not in ops(gm)
    agree(gm, function, torch.randn(3))
    lowered = lower(export(function, torch.randn(3)))
    check(lowered)
    agree(lowered, function, torch.randn(3))


def test_buffers_of_the_model_are_never_written():
    scratch = torch.zeros(3)

    def function(x, scratch):
        scratch.fill_(2)
        return x * scratch

    x = torch.randn(3)
    gm = lower(export(function, x, scratch=scratch))
    assert scratch.tolist() == [0, 0, 0]
    agree(gm, function, x, scratch=scratch.clone())


def test_a_view_of_a_weight_shares_its_memory_when_contiguous():
    weight = torch.randn(4, 6)
    gm = folded(
        lambda x, weight: x * weight[:2].reshape(3, 4).detach().clone(),
        torch.randn(4),
        weight=weight,
    )
    (name,) = dict(gm.named_buffers())
    assert getattr(gm, name).data_ptr() == weight.data_ptr()


@pytest.mark.parametrize(
    "copy",
    [
        lambda x: torch.ops.aten.slice_copy.Tensor(x, 0, 0, 2),
        lambda x: torch.ops.aten.split_with_sizes_copy.default(x, [2, 0])[0],
        lambda x: torch.ops.aten.view_copy.default(x, [2, 1]),
    ],
)
def test_a_copy_of_a_constant_stays_as_it_was_when_that_is_written_to(copy):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("weight", torch.tensor([1.0, 2.0]))

        def forward(self, x):
            own = self.weight.clone().unsqueeze(-1)
            before = copy(own)
            return x + before, own.neg_()

    model, x = Model(), torch.zeros(2, 1)
    for got, wanted in zip(lower(export(model, x))(x), model(x), strict=True):
        torch.testing.assert_close(got, wanted)


def test_names_say_where_a_constant_comes_from():
    class Inner(nn.Module):
        def forward(self, x):
            return x + torch.arange(3)

    gm = unlifted(nn.Sequential(nn.ReLU(), Inner()), torch.randn(2, 3))
    assert fold_constants(gm)
    (node,) = (node for node in gm.graph.nodes if node.op == "get_attr")
    assert node.meta["fqn"] == "1.arange"
    assert "forward" in node.meta["stack_trace"]


def test_random_numbers_are_drawn_at_run_time():
    gm = unlifted(
        lambda x, w: x + torch.rand(3) + F.dropout(w, 0.5), torch.randn(3), w=torch.ones(3)
    )
    assert not fold_constants(gm)


def test_quantised_weights_stay_integers():
    def function(x, w):
        return x + torch.fake_quantize_per_tensor_affine(w, 0.1, 0, -128, 127)

    gm = unlifted(function, torch.randn(3), w=torch.randn(3))
    assert not fold_constants(gm)


def test_results_that_inflate_the_program_stay(monkeypatch):
    monkeypatch.setattr(sys.modules[fold_constants.__module__], "LIMIT", 100)

    def function(x, w):
        return x + w.expand(20, 3), x * w.double().sum(), x[0] - torch.zeros(20, 3)[0]

    weight = torch.randn(3)
    gm = unlifted(function, torch.randn(20, 3), w=weight)
    fold_constants(gm)
    remove_dead_code(gm)
    assert ops(gm) == ["expand", "add", "mul", "select", "zeros", "select", "sub"]
    agree(gm, function, torch.randn(20, 3), w=weight)


def test_large_results_of_larger_inputs_are_folded(monkeypatch):
    monkeypatch.setattr(sys.modules[fold_constants.__module__], "LIMIT", 100)
    gm = folded(lambda x, w: x @ w.t(), torch.randn(2, 30), w=torch.randn(30, 30))
    assert ops(gm) == ["matmul"]


def test_sizes_that_are_numbers_become_numbers():
    def function(x):
        return x.reshape(x.shape[0], x.shape[1] * 2, -1)

    gm = unlifted(function, torch.randn(4, 3, 2), dynamic={"x": {0: BATCH}})
    fold_constants(gm)
    agree(gm, function, torch.randn(5, 3, 2))
    assert {"sym_size", "reshape"} >= set(ops(gm))


def test_symbolic_creation_stays():
    gm = unlifted(lambda x: x.new_zeros(x.shape[0]) + x, torch.randn(4), dynamic={"x": {0: BATCH}})
    assert not fold_constants(gm)


def test_like_operators_of_static_size_read_nothing():
    gm = folded(lambda x: x + torch.ones_like(x) + torch.full_like(x, 2), torch.randn(2, 3))
    assert ops(gm) == ["add", "add"]


def test_uninitialised_memory_is_zero():
    gm = unlifted(lambda x: x + torch.empty(1000) * 0, torch.randn(1000))
    fold_constants(gm)
    gm.recompile()
    x = torch.randn(1000)
    assert torch.equal(gm(x)[0], x)


def test_constant_outputs_are_outputs_still():
    gm = folded(lambda x: (x, torch.arange(4) * 2), torch.randn(2))
    assert ops(gm) == []


def test_a_constant_of_unknown_size_is_computed_at_run_time():
    """The graph says `u0` where the folded tensor would have a number."""

    def function(x, mask):
        return x.sum() + torch.nonzero(mask).sum()

    gm = unlifted(function, torch.randn(3), mask=torch.tensor([True, False, True]))
    fold_constants(gm)
    remove_dead_code(gm)
    assert "nonzero" in ops(gm)
    agree(gm, function, torch.randn(3), mask=torch.tensor([True, False, True]))


def test_equal_elements_are_sorted_by_place():
    weight = torch.tensor([1.0, 2.0, 1.0, 2.0] * 20)

    def function(x, weight):
        return x + weight.topk(60)[1]

    gm = unlifted(function, torch.zeros(60), weight=weight)
    assert fold_constants(gm)
    gm.recompile()
    (places,) = gm(torch.zeros(60))
    assert places.tolist() == [*range(1, 80, 2), *range(0, 40, 2)]
