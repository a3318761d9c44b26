# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.nn.functional as F

from edge_trt.lowering.normalise_variants import RULES, normalise_variants
from edge_trt.lowering.remove_dead_code import remove_dead_code
from tests.lowering.graphs import agree, check, lines, ops, text, unlifted

aten = torch.ops.aten
BATCH = torch.export.Dim("batch", min=2, max=16)


def normalised(function, *args, dynamic=None):
    gm = unlifted(function, *args, dynamic=dynamic)
    normalise_variants(gm)
    remove_dead_code(gm)
    check(gm)
    agree(gm, function, *args)
    assert not normalise_variants(gm), "a second run must find nothing"
    return gm


ROWS = [
    ("view", lambda x: x.view(-1, 4), "reshape(x, [6, 4])"),
    ("reshape_copy", lambda x: aten._reshape_copy.default(x, [6, 4]), "reshape(x, [6, 4])"),
    ("flatten", lambda x: x.flatten(1), "reshape(x, [2, 12])"),
    ("unflatten", lambda x: x.unflatten(-1, (2, 2)), "reshape(x, [2, 3, 2, 2])"),
    ("ravel", lambda x: x.ravel(), "reshape(x, [24])"),
    ("view_as", lambda x: x.view_as(torch.empty(4, 6)), "reshape(x, [4, 6])"),
    ("transpose", lambda x: x.transpose(0, -1), "permute(x, [2, 1, 0])"),
    ("t", lambda x: x[0].t(), "permute(select, [1, 0])"),
    ("mT", lambda x: x.mT, "permute(x, [0, 2, 1])"),
    ("numpy_T", lambda x: x[0].T, "permute(select, [1, 0])"),
    ("swapaxes", lambda x: x.swapaxes(1, 2), "permute(x, [0, 2, 1])"),
    ("movedim", lambda x: x.movedim(0, 2), "permute(x, [1, 2, 0])"),
    ("moveaxis", lambda x: torch.moveaxis(x, (0, 1), (-1, 0)), "permute(x, [1, 2, 0])"),
    ("moveaxis_of_a_scalar", lambda x: aten.moveaxis.int(x.sum(), 0, -1), "permute(sum_1, [])"),
    ("permute", lambda x: x.permute(-1, 0, 1), "permute(x, [2, 0, 1])"),
    ("expand_as", lambda x: x[:, :1].expand_as(x), "expand(slice_1, [-1, 3, -1])"),
    ("broadcast_to", lambda x: x.broadcast_to(5, 2, 3, 4), "expand(x, [5, -1, -1, -1])"),
    ("narrow", lambda x: x.narrow(-1, 1, 2), "slice.Tensor(x, 2, 1, 3, 1)"),
    ("narrow_from_end", lambda x: x.narrow(1, -2, 1), "slice.Tensor(x, 1, 1, 2, 1)"),
    ("slice_open", lambda x: x[:, -2:], "slice.Tensor(x, 1, 1, 3, 1)"),
    ("slice_far", lambda x: x[..., 1:99:2], "slice.Tensor(x, 2, 1, 4, 2)"),
    ("select", lambda x: x[..., -1], "select.int(x, 2, 3)"),
    ("double", lambda x: x.double(), "_to_copy(x, dtype=torch.float64)"),
    ("type_as", lambda x: x.type_as(torch.empty(1).half()), "_to_copy(x, dtype=torch.float16)"),
    ("chunk", lambda x: x.chunk(2, -1)[1], "slice.Tensor(x, 2, 2, 4, 1)"),
    ("chunk_uneven", lambda x: x.chunk(2, 1)[1], "slice.Tensor(x, 1, 2, 3, 1)"),
    ("split", lambda x: x.split(3, -1)[1], "slice.Tensor(x, 2, 3, 4, 1)"),
    ("split_sizes", lambda x: x.split([1, 3], -1)[1], "slice.Tensor(x, 2, 1, 4, 1)"),
    ("tensor_split", lambda x: x.tensor_split((1, 2), -1)[2], "slice.Tensor(x, 2, 2, 4, 1)"),
    (
        "tensor_split_overlapping",
        lambda x: aten.tensor_split.indices(x, (2, 1), -1)[2],
        "slice.Tensor(x, 2, 1, 4, 1)",
    ),
    ("tensor_split_n", lambda x: x.tensor_split(3, -1)[0], "slice.Tensor(x, 2, 0, 2, 1)"),
    ("hsplit", lambda x: x.hsplit(3)[1], "slice.Tensor(x, 1, 1, 2, 1)"),
    ("vsplit", lambda x: x.vsplit(2)[1], "slice.Tensor(x, 0, 1, 2, 1)"),
    ("dsplit", lambda x: x.dsplit([3])[0], "slice.Tensor(x, 2, 0, 3, 1)"),
    ("unbind", lambda x: x.unbind(1)[-1], "select.int(x, 1, 2)"),
    ("zeros_like", lambda x: torch.zeros_like(x), "full([2, 3, 4], 0, dtype=torch.float32)"),
    ("new_full", lambda x: x.new_full((2,), 3), "full([2], 3, dtype=torch.float32)"),
    ("ones", lambda x: torch.ones(4) + x, "full([4], 1, dtype=torch.float32)"),
    ("arange", lambda x: torch.arange(4) + x, "arange.start_step(0, 4, 1, dtype=torch.int64)"),
    ("range", lambda x: torch.arange(1, 5) + x, "arange.start_step(1, 5, 1, dtype=torch.int64)"),
    ("multiply", lambda x: torch.multiply(x, x), "mul.Tensor(x, x)"),
    ("absolute", lambda x: torch.absolute(x), "abs(x)"),
    ("clip", lambda x: torch.clip(x, 0, 1), "clamp(x, 0, 1)"),
    ("greater", lambda x: torch.greater(x, 0.5), "gt.Scalar(x, 0.5)"),
    ("concat", lambda x: torch.concat([x, x]), "cat([x, x])"),
    ("expit", lambda x: torch.special.expit(x), "sigmoid(x)"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "call"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS])
def test_static(function, call):
    gm = normalised(function, torch.randn(2, 3, 4))
    assert any(line.partition(" = ")[2] == call for line in text(gm).splitlines()), text(gm)


def test_one_symbolic_size_becomes_minus_one():
    def function(x):
        n = x.shape[0]
        y = x.view(n, 2, 2, 3).permute(0, 2, 1, 3).reshape(n * 4, 3)
        return y.flatten(), y.view(n, 12)

    gm = normalised(function, torch.randn(4, 12), dynamic={"x": {0: BATCH}})
    assert text(gm) == lines("""
        x = input
        reshape_1 = reshape(x, [-1, 2, 2, 3])
        permute = permute(reshape_1, [0, 2, 1, 3])
        reshape = reshape(permute, [-1, 3])
        reshape_2 = reshape(reshape, [-1])
        reshape_3 = reshape(reshape, [-1, 12])
        return (reshape_2, reshape_3)
    """)
    agree(gm, function, torch.randn(7, 12))


def test_several_symbolic_sizes_are_read_from_tensors_in_hand():
    def function(x):
        return x.flatten(2).transpose(1, 2)

    side = torch.export.Dim("side", min=4, max=64)
    gm = normalised(function, torch.randn(4, 3, 8, 8), dynamic={"x": {0: BATCH, 2: side}})
    assert text(gm) == lines("""
        x = input
        sym_size = sym_size.int(x, 0)
        reshape = reshape(x, [sym_size, 3, -1])
        permute = permute(reshape, [0, 2, 1])
        return (permute)
    """)
    agree(gm, function, torch.randn(5, 3, 16, 8))


def test_expand_keeps_what_stays_and_reads_what_grows():
    gm = normalised(
        lambda x, token: torch.cat([token.expand(x.shape[0], -1, -1), x], 1),
        torch.randn(4, 3, 2), torch.randn(1, 1, 2), dynamic={"x": {0: BATCH}, "token": None},
    )  # fmt: skip
    assert "expand(token, [sym_size_int_1, -1, -1])" in text(gm)


def test_the_last_piece_of_a_symbolic_size_is_open():
    gm = normalised(
        lambda x: x.split([1, x.shape[0] - 1])[1],
        torch.randn(4, 3),
        dynamic={"x": {0: torch.export.Dim("batch", min=3, max=9)}},
    )
    assert "slice.Tensor(x, 0, 1, 9223372036854775807, 1)" in text(gm)


def test_pieces_of_a_symbolic_size_stay_together():
    gm = normalised(
        lambda x: x.chunk(2)[1], torch.randn(6, 3),
        dynamic={"x": {0: 2 * torch.export.Dim("half", min=2, max=9)}},
    )  # fmt: skip
    assert set(ops(gm)) <= {"chunk", "getitem", "sym_size", "slice"}
    agree(gm, lambda x: x.chunk(2)[1], torch.randn(10, 3))


def test_full_of_a_symbolic_size():
    gm = normalised(lambda x: torch.zeros_like(x) + x, torch.randn(4, 3), dynamic={"x": {0: BATCH}})
    assert "full([sym_size, 3], 0, dtype=torch.float32)" in text(gm)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("kernel", [3, 4, (2, 5)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_padding(kernel, dilation):
    size = (kernel, kernel) if isinstance(kernel, int) else kernel
    args = (torch.randn(2, 3, 9, 8), torch.randn(4, 3, *size))

    def function(x, weight):
        return F.conv2d(x, weight, padding="same", dilation=dilation)

    gm = normalised(function, *args)
    assert set(ops(gm)) <= {"constant_pad_nd", "conv2d"}
    assert "same" not in text(gm)


def _deconvolution(x, w):
    w = w.transpose(0, 1)
    return aten.convolution(x, w, None, [2, 2], [1, 1], [1, 1], True, [1, 0], 1)


def _batch_norm(x, w):
    mean, variance = x[0, :, 0, 0], x[1, :, 0, 0].exp()
    return aten._native_batch_norm_legit_no_training(x, None, None, mean, variance, 0.1, 1e-5)[0]


def _max_pool(x, w):
    return aten.max_pool2d_with_indices(x, [2, 2], [2, 2], [0, 0], [1, 1], True)[0]


def _attention(x, w):
    flash = aten._scaled_dot_product_flash_attention_for_cpu
    return flash(x, x, x, 0.0, True, scale=0.3)[0]


CORE = [
    (lambda x, w: aten.convolution(x, w, None, [2, 1], [1, 1], [1, 1], False, [0, 0], 1), "conv2d"),
    (_deconvolution, "conv_transpose2d"),
    (_batch_norm, "batch_norm"),
    (lambda x, w: aten.native_layer_norm(x, [8], None, None, 1e-5)[0], "layer_norm"),
    (lambda x, w: aten.native_group_norm(x, None, None, 2, 4, 64, 2, 1e-5)[0], "group_norm"),
    (lambda x, w: aten._softmax(x, 1, False), "softmax"),
    (lambda x, w: aten._log_softmax(x, 1, False), "log_softmax"),
    (lambda x, w: aten._adaptive_avg_pool2d(x, [2, 2]), "adaptive_avg_pool2d"),
    (_max_pool, "max_pool2d"),
    (_attention, "scaled_dot_product_attention"),
]


@pytest.mark.parametrize(("function", "name"), CORE, ids=[name for _, name in CORE])
def test_core_forms_become_layers(function, name):
    gm = normalised(function, torch.randn(2, 4, 8, 8), torch.randn(6, 4, 3, 3))
    assert name in ops(gm)
    assert "getitem" not in ops(gm)


def test_an_auxiliary_output_in_use_keeps_the_core_form():
    gm = normalised(lambda x: aten.max_pool2d_with_indices(x, [2, 2]), torch.randn(1, 2, 4, 4))
    assert "max_pool2d_with_indices" in ops(gm)


def test_rules_are_for_operators_that_exist():
    assert all(isinstance(target, torch._ops.OpOverload) for target in RULES)
