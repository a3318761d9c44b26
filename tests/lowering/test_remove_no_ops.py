# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.nn.functional as F

from edge_trt.lowering.normalise_variants import normalise_variants
from edge_trt.lowering.remove_dead_code import remove_dead_code
from edge_trt.lowering.remove_no_ops import remove_no_ops
from edge_trt.lowering.rewrite_strided_views import rewrite_strided_views
from tests.lowering.graphs import agree, check, lines, ops, text, unlifted

aten = torch.ops.aten
BATCH = torch.export.Dim("batch", min=2, max=16)


def cleaned(function, *args, dynamic=None):
    gm = unlifted(function, *args, dynamic=dynamic)
    normalise_variants(gm)
    remove_no_ops(gm)
    remove_dead_code(gm)
    check(gm)
    agree(gm, function, *args)
    return gm


def test_text():
    def function(x):
        y = F.dropout(x, 0.1, training=False).contiguous().detach().clone()
        return F.pad(aten.alias(y), [0, 0]).relu()

    gm = unlifted(function, torch.randn(2, 3))
    assert remove_no_ops(gm)
    assert text(gm) == lines("""
        x = input
        relu = relu(x)
        return (relu)
    """)
    assert not remove_no_ops(gm)


IDENTITIES = {
    "feature_dropout": lambda x: F.dropout2d(x, 0.5, training=False),
    "alpha_dropout": lambda x: F.alpha_dropout(x, 0.5, training=False),
    "dropout_of_nothing": lambda x: F.dropout(x, 0.0, training=True),
    "to": lambda x: x.to(torch.float32),
    "to_copy": lambda x: x.to(torch.float32, copy=True),
    "to_device": lambda x: x.to("cpu"),
    "float": lambda x: x.float(),
    "type_as": lambda x: x.type_as(x + 1),
    "slice": lambda x: x[:, 0:],
    "slice_far": lambda x: x[:99],
    "expand": lambda x: x.expand(-1, 3, 4, 4),
    "permute": lambda x: x.permute(0, 1, 2, 3),
    "transpose": lambda x: x.transpose(1, 1),
    "reshape": lambda x: x.reshape(2, 3, 4, 4),
    "flatten": lambda x: x.flatten(2, 2),
    "squeeze": lambda x: x.squeeze(1),
    "squeeze_all": lambda x: x.squeeze(),
    "pad": lambda x: F.pad(x, [0, 0, 0, 0]),
    "repeat": lambda x: x.repeat(1, 1, 1, 1),
    "tile": lambda x: x.tile(1),
    "roll": lambda x: x.roll(0, 0),
    "flip": lambda x: x.flip([]),
    "cat": lambda x: torch.cat([x]),
    "pool": lambda x: F.adaptive_avg_pool2d(x, (4, 4)),
    "conj": lambda x: x.conj().resolve_conj(),
    "positive": lambda x: +x,
    "times_one": lambda x: x * 1,
    "over_one": lambda x: x / 1.0,
    "plus_zero": lambda x: x + 0,
    "minus_zero": lambda x: x - 0.0,
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_identities_go(name):
    gm = cleaned(lambda x: IDENTITIES[name](x) * 2, torch.randn(2, 3, 4, 4))
    assert ops(gm) == ["mul"]


@pytest.mark.parametrize("name", sorted(set(IDENTITIES) - {"reshape", "slice_far"}))
def test_identities_of_symbolic_size_go(name):
    gm = cleaned(
        lambda x: IDENTITIES[name](x) * 2, torch.randn(2, 3, 4, 4), dynamic={"x": {0: BATCH}}
    )
    assert ops(gm) == ["mul"]


CHANGES = {
    "dropout_in_training": lambda x: F.dropout(x, 0.999, training=True).isnan(),
    "cast": lambda x: x.half(),
    "slice": lambda x: x[:, 1:],
    "stride": lambda x: x[:, ::2],
    "expand": lambda x: x[:, :1].expand(2, 3, 3, 3),
    "square_permute": lambda x: x.permute(0, 1, 3, 2),
    "pad": lambda x: F.pad(x, [1, -1]),
    "roll": lambda x: x.roll(1, 2),
    "flip": lambda x: x.flip([1]),
    "int_times_float": lambda x: x.long() * 1.0,
    "int_over_one": lambda x: x.long() / 1,
    "constant": lambda x: x * 2,
    "same_padding_pool": lambda x: F.avg_pool2d(x, 3, 1, 1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_stay(name):
    x = torch.randn(2, 3, 3, 3)
    gm = unlifted(CHANGES[name], x)
    normalise_variants(gm)
    before = [name for name in ops(gm) if not name.startswith("_assert")]
    remove_no_ops(gm)
    assert ops(gm) == before
    check(gm)


def test_an_identity_for_some_sizes_only_stays():
    def function(x, y):
        return x.expand(y.shape[0], 3) * 2

    sizes = {"x": None, "y": {0: BATCH}}
    gm = cleaned(function, torch.randn(1, 3), torch.randn(6, 1), dynamic=sizes)
    assert ops(gm) == ["sym_size", "expand", "mul"]
    agree(gm, function, torch.randn(1, 3), torch.randn(3, 1))


def test_assertions_go_with_what_they_test():
    def function(x, n):
        size = n.item()
        torch._check(size >= 2)
        torch._check(size <= 5)
        return x * 2

    gm = unlifted(function, torch.randn(4), torch.tensor(3))
    assert any("assert" in name or "constrain" in name for name in ops(gm))
    remove_no_ops(gm)
    remove_dead_code(gm)
    assert ops(gm) == ["mul"]
    agree(gm, function, torch.randn(4), torch.tensor(3))


STRIDED = {
    "overlapping": lambda x: x.as_strided((3, 2), (1, 1), 1),
    "of_transposed": lambda x: x.t().as_strided((2, 3), (3, 1)),
    "of_slice": lambda x: x[:, 1:].as_strided((2, 2), (3, 1), 1),
}


@pytest.mark.parametrize("name", STRIDED)
def test_as_strided_becomes_a_gather(name):
    x = torch.arange(12.0).reshape(4, 3)
    function = lambda x: STRIDED[name](x * 1.5)  # noqa: E731
    gm = unlifted(function, x)
    assert rewrite_strided_views(gm)
    assert "as_strided" not in ops(gm)
    check(gm)
    agree(gm, function, x)


def test_as_strided_text():
    gm = unlifted(lambda x: x.as_strided((3, 2), (1, 1)), torch.randn(4))
    assert rewrite_strided_views(gm)
    assert text(gm) == lines("""
        x = input
        as_strided_indices = <as_strided.indices>
        reshape = reshape(x, [-1])
        index_select = index_select(reshape, 0, as_strided_indices)
        reshape_1 = reshape(index_select, [3, 2])
        return (reshape_1)
    """)
    assert gm.as_strided_indices.tolist() == [0, 1, 1, 2, 2, 3]


def test_complex_views_keep_a_contiguous_input():
    def function(x):
        pairs = x.transpose(1, 2).contiguous()
        return torch.view_as_real(torch.view_as_complex(pairs) * 1j)

    gm = unlifted(function, torch.randn(3, 2, 5))
    rewrite_strided_views(gm)
    normalise_variants(gm)
    remove_no_ops(gm)
    assert ops(gm).count("contiguous") == 1
    agree(gm, function, torch.randn(3, 2, 5))
