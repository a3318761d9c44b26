# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from edge_trt.lowering.cancel_permutes import cancel_permutes
from edge_trt.lowering.merge_duplicates import merge_duplicates
from edge_trt.lowering.merge_views import merge_views
from edge_trt.lowering.normalise_variants import normalise_variants
from edge_trt.lowering.remove_dead_code import remove_dead_code
from edge_trt.lowering.remove_no_ops import remove_no_ops
from edge_trt.lowering.unlifting import unlift
from tests.lowering.graphs import agree, check, lines, ops, text, unlifted

BATCH = torch.export.Dim("batch", min=2, max=16)


def run(step, function, *args, dynamic=None, **buffers):
    gm = unlifted(function, *args, dynamic=dynamic, **buffers)
    normalise_variants(gm)
    gm.changed = step(gm)
    remove_no_ops(gm)
    remove_dead_code(gm)
    check(gm)
    agree(gm, function, *args, **buffers)
    return gm


def test_views_text():
    def function(x, y):
        a = x.view(2, 8).unsqueeze(0).view(4, 4)
        b = y.unsqueeze(0).permute(2, 1, 0, 3).squeeze(2)
        return a, b

    gm = run(merge_views, function, torch.randn(16), torch.randn(2, 3, 4))
    assert text(gm) == lines("""
        x = input
        y = input
        reshape_1 = reshape(x, [4, 4])
        permute_1 = permute(y, [1, 0, 2])
        return (reshape_1, permute_1)
    """)


CHAINS = [
    (lambda x: x.transpose(0, 1).transpose(1, 2), ["permute"]),
    (lambda x: x.transpose(0, 1).transpose(0, 1), []),
    (lambda x: x.permute(2, 0, 1).permute(1, 2, 0), []),
    (lambda x: x.unsqueeze(1).squeeze(1), []),
    (lambda x: x.unsqueeze(1).squeeze(), []),
    (lambda x: x.unsqueeze(1).permute(1, 2, 0, 3).squeeze(0), ["permute"]),
    (lambda x: x.unsqueeze(0).permute(0, 1, 3, 2).reshape(2, 12), ["permute", "reshape"]),
    (lambda x: x.unsqueeze(2).permute(0, 2, 1, 3).reshape(6, 4), ["reshape"]),
    (lambda x: x[:, :1].permute(1, 0, 2).reshape(8), ["slice", "reshape"]),
    (lambda x: x[:, :1].squeeze(1).unsqueeze(0), ["slice", "permute"]),
    (lambda x: x.reshape(6, 4).unsqueeze(0), ["reshape"]),
    (lambda x: x.reshape(6, 1, 4).squeeze(1), ["reshape"]),
    (lambda x: x.reshape(6, 4).reshape(3, 8).reshape(24), ["reshape"]),
    (lambda x: x.reshape(6, 4).t().reshape(24), ["reshape", "permute", "reshape"]),
    (lambda x: x.reshape(3, 2, 4).transpose(0, 1), ["reshape", "permute"]),
]


@pytest.mark.parametrize(("function", "left"), CHAINS, ids=range(len(CHAINS)))
def test_chains(function, left):
    gm = run(merge_views, lambda x: function(x) * 2, torch.randn(2, 3, 4))
    assert ops(gm) == [*left, "mul"]


@pytest.mark.parametrize("index", range(6))
def test_chains_of_symbolic_size(index):
    """The chains without a reshape: those have no size of their own."""
    function, left = CHAINS[index]
    sizes = {"x": {0: BATCH}}
    gm = run(merge_views, lambda x: function(x) * 2, torch.randn(4, 3, 4), dynamic=sizes)
    assert ops(gm) == [*left, "mul"]
    agree(gm, lambda x: function(x) * 2, torch.randn(7, 3, 4))


def test_intermediate_results_with_other_readers_stay():
    def function(x):
        y = x.transpose(0, 1)
        z = x.reshape(6, 4)
        return y + 1, y.transpose(1, 2), z + 1, z.reshape(3, 8)

    gm = run(merge_views, function, torch.randn(2, 3, 4))
    assert ops(gm).count("permute") == 2
    assert "reshape(x, [3, 8])" in text(gm)


def test_a_squeeze_of_a_symbolic_size_is_not_moved():
    def function(x):
        return x.unsqueeze(1).permute(1, 2, 0, 3).squeeze(2)

    gm = run(merge_views, function, torch.randn(4, 3, 2), dynamic={"x": {0: BATCH}})
    agree(gm, function, torch.randn(7, 3, 2))


def test_permutes_text():
    def function(x):
        y = torch.nn.functional.gelu(x.permute(0, 2, 3, 1)) * 0.5
        return y.permute(0, 3, 1, 2)

    gm = run(cancel_permutes, function, torch.randn(2, 3, 4, 5))
    assert text(gm) == lines("""
        x = input
        gelu = gelu(x)
        mul = mul.Tensor(gelu, 0.5)
        return (mul)
    """)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x.permute(0, 2, 3, 1) + x.mean()).permute(0, 3, 1, 2),
        lambda x: x.permute(0, 2, 3, 1).softmax(-1).permute(0, 3, 1, 2),
        lambda x: x.permute(0, 2, 3, 1).relu().permute(0, 2, 3, 1),
        lambda x: (lambda y: (y.permute(0, 3, 1, 2), y))(x.permute(0, 2, 3, 1).relu()),
        lambda x: (x.permute(0, 2, 3, 1) + torch.arange(3)).permute(0, 3, 1, 2),
    ],
    ids=["variable", "not elementwise", "not inverse", "two readers", "broadcast"],
)
def test_permutes_that_mean_something_stay(function):
    gm = run(cancel_permutes, function, torch.randn(2, 3, 3, 3))
    assert not gm.changed
    assert ops(gm).count("permute") == 2


def test_duplicates_text():
    def function(x):
        return x.view(2, 8) + x.reshape(2, 8) * 2 + x.reshape(2, 8) * 2.0

    gm = run(merge_duplicates, function, torch.randn(16))
    assert text(gm) == lines("""
        x = input
        reshape_2 = reshape(x, [2, 8])
        mul = mul.Tensor(reshape_2, 2)
        add = add.Tensor(reshape_2, mul)
        mul_1 = mul.Tensor(reshape_2, 2.0)
        add_1 = add.Tensor(add, mul_1)
        return (add_1)
    """)


def test_equal_sizes_are_merged_however_computed():
    def function(x, y):
        n = x.shape[0]
        return torch.zeros(n * 2, n) + 1, torch.ones(y.shape[0] * 2, n + n) * 2

    gm = run(
        merge_duplicates, function, torch.randn(4), torch.randn(4),
        dynamic={"x": {0: BATCH}, "y": {0: BATCH}},
    )  # fmt: skip
    assert ops(gm).count("sym_size") == 1
    assert ops(gm).count("mul") <= 2


def test_constants_are_merged_by_memory_or_content():
    big = torch.randn(200, 200)

    def function(x, a, b, c, d, e):
        return x + a.sum() + b.sum() + c.sum() + d.sum() + e.sum()

    tensors = {
        "a": big,
        "b": big.clone(),
        "c": torch.ones(3),
        "d": torch.ones(3),
        "e": torch.ones(3, 1),
    }
    gm = run(merge_duplicates, function, torch.randn(1), **tensors)
    assert sorted(dict(gm.named_buffers())) == ["a", "b", "c", "e"]


def test_constants_of_stride_zero_are_merged_too():
    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("one", torch.tensor(2.0).expand(1))
            self.register_buffer("other", torch.tensor([2.0]))

        def forward(self, x):
            return x * self.one + x * self.other

    gm = unlift(torch.export.export(Scaled(), (torch.randn(3),)))
    assert merge_duplicates(gm)
    assert sum(n.op == "get_attr" and bool(n.users) for n in gm.graph.nodes) == 1


def test_tied_weights_are_merged():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Embedding(200, 200)
            self.b = nn.Linear(200, 200, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(x))

    gm = run(merge_duplicates, Tied(), torch.tensor([1, 2]))
    assert len(dict(gm.named_buffers())) == 1


def test_random_numbers_are_not_merged():
    gm = unlifted(lambda x: x + torch.rand(3) - torch.rand(3), torch.randn(3))
    assert not merge_duplicates(gm)


def test_dead_code_text():
    def function(x):
        torch.exp(x)
        return x.relu()

    gm = unlifted(function, torch.randn(3))
    assert ops(gm) == ["exp", "relu"]
    assert remove_dead_code(gm)
    assert text(gm) == lines("""
        x = input
        relu = relu(x)
        return (relu)
    """)
    assert not remove_dead_code(gm)


def test_unused_inputs_and_random_draws_stay_and_unused_tensors_go():
    def function(x, y, w):
        torch.rand(3)
        return x * 2

    gm = unlifted(function, torch.randn(3), torch.randn(3), w=torch.ones(3))
    assert not dict(gm.named_buffers())
    remove_dead_code(gm)
    assert ops(gm) == ["rand", "mul"]
    assert [node.name for node in gm.graph.nodes if node.op == "placeholder"] == ["x", "y"]
