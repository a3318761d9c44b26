# SPDX-License-Identifier: Apache-2.0
"""Operators that are decomposed by PyTorch's own rules: one case each, named by the operator."""

from __future__ import annotations

import pytest
import torch

from edge_trt.conversion.catalogue import NOT_EXPORTED
from tests.conversion.checking import check_lowered
from tests.conversion.rows import Row, f, i64

aten = torch.ops.aten
X = f("b", 4)
IMAGE = f("b", 2, 4, 6)
SQUARE = f(3, 3)
VECTOR = f(4)
SHARE = f("b", 4, low=0.1, high=0.9)
POSITIVE = f("b", 4, low=0.5)
SIGNS = torch.tensor([[1.0, -1, 1, 1], [-1, 1, -1, 1]])
CLASSES = torch.tensor([1, 3])
CELL = (f("b", 3), f("b", 2))
LSTM = (f("b", 3), f("b", 2), f("b", 2))


def call(name, *arguments, **options):
    """The operator with arguments after the inputs."""
    packet, _, overload = name.partition(".")
    target = getattr(getattr(aten, packet), overload or "default")
    return lambda *inputs: target(*inputs, *arguments, **options)


def row(name, *args, after=(), **options):
    return Row(name, call(name, *after, **options), args)


LAYOUT = [
    Row("_chunk_cat", lambda x, y: aten._chunk_cat.default([x, y], 0, 2), (f(4, 3), f(2, 3))),
    row("_dim_arange", f(3, 4), after=(1,)),
    row("adjoint", SQUARE),
    row("mH", f("b", 3, 4)),
    row("matrix_H", f(3, 4)),
    row("alias_copy", X),
    row("atleast_1d", f()),
    Row("broadcast_tensors", lambda x, y: aten.broadcast_tensors.default([x, y]), (X, VECTOR)),
    row("diagflat", VECTOR),
    Row("eye", lambda x: x + aten.eye.default(3), (SQUARE,)),
    row("fft_fftshift", X, after=([1],)),
    row("fft_ifftshift", f("b", 5), after=([1],)),
    row("linalg_diagonal", f("b", 3, 3)),
    row("narrow_copy", X, after=(1, 1, 2)),
    row("native_channel_shuffle", f(1, 4, 2, 3), after=(2,)),
    Row("pad_sequence", lambda x, y: aten.pad_sequence.default([x, y], True), (f(3, 2), f(5, 2))),
    row("squeeze_copy.dim", f("b", 1, 4), after=(1,)),
    row("sum_to_size", f(3, 4), after=([1, 4],)),
    row("tril", f(3, 4)),
    row("unsqueeze_copy", X, after=(1,)),
]
TYPES = [
    row("_cast_Byte", f(3, low=0, high=9)),
    row("_cast_Char", f(3)),
    row("_cast_Float", i64("b", 3)),
    row("_cast_Half", X),
    row("_cast_Int", X),
    row("_cast_Long", X),
    Row("_to_cpu", lambda x: aten._to_cpu.default([x]), (X,)),
]
ELEMENTS = [
    row("deg2rad", X),
    row("rad2deg", X),
    row("heaviside", torch.tensor([-1.0, 0, 2]), f(3)),
    row("isclose", X, X),
    row("isneginf", X),
    row("isreal", X),
    row("ldexp.Tensor", X, i64("b", 4)),
    row("logit", SHARE),
    row("renorm", f(3, 4), after=(2, 0, 1.0)),
    row("sgn", X),
    row("sinc", X),
    row("log_sigmoid_forward", X),
    row("special_entr", POSITIVE),
    row("special_erfc", X),
    row("special_log_softmax", X, after=(1,)),
    row("special_logit", SHARE),
    row("special_logsumexp", X, after=([1],)),
    row("special_ndtr", X),
    row("special_round", X),
    row("special_sinc", X),
    row("special_softmax", X, after=(1,)),
    row("special_xlog1py", X, POSITIVE),
    row("special_xlogy", X, POSITIVE),
]
MATRICES = [
    row("_addmm_activation", f(2), f("b", 3), f(3, 2)),
    row("_euclidean_dist", f(3, 4), f(2, 4)),
    row("cumulative_trapezoid.dx", X),
    row("dist", X, X),
    row("frobenius_norm.dim", X, after=([1],)),
    row("ger", f(3), f(4)),
    row("gradient.scalarint", f(2, 5), dim=1),
    row("linalg_matmul", f("b", 3), f(3, 4)),
    row("linalg_norm", X, dim=[1]),
    row("linalg_vander", VECTOR),
    row("matrix_power", SQUARE, after=(3,)),
    row("nanquantile.scalar", f(3, 5), after=(0.5, 1)),
    row("norm.ScalarOpt_dim", X, after=(2, [1])),
    row("norm_except_dim", f(3, 4)),
    row("trapezoid.dx", X),
    row("trapz.dx", X),
    row("vander", VECTOR),
    Row("hann_window", lambda x: x * aten.hann_window.default(4), (X,)),
    Row("logspace", lambda x: x * aten.logspace.default(0, 1, 4), (X,)),
]
LAYERS = [
    Row(
        "_batch_norm_impl_index",
        lambda x, m, v: aten._batch_norm_impl_index.default(
            x, None, None, m, v, False, 0.1, 1e-5, False
        )[0],
        (f("b", 2, 4), f(2), f(2, low=0.5)),
    ),
    Row(
        "_native_batch_norm_legit_functional",
        lambda x, m, v: aten._native_batch_norm_legit_functional.default(
            x, None, None, m, v, False, 0.1, 1e-5
        )[0],
        (f("b", 2, 4), f(2), f(2, low=0.5)),
    ),
    Row(
        "_convolution",
        lambda x, w: aten._convolution.default(
            x, w, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, False, False, False, False
        ),
        (IMAGE, f(3, 2, 2, 2)),
    ),
    Row(
        "_convolution_mode",
        lambda x, w: aten._convolution_mode.default(x, w, None, [1, 1], "same", [1, 1], 1),
        (IMAGE, f(3, 2, 3, 3)),
    ),
    Row(
        "_fused_rms_norm",
        lambda x, w: aten._fused_rms_norm.default(x, [4], w, 1e-5)[0],
        (X, VECTOR),
    ),
    Row(
        "_scaled_dot_product_attention_math",
        lambda q: aten._scaled_dot_product_attention_math.default(q, q, q)[0],
        (f("b", 2, 4, 8),),
    ),
    row("_upsample_nearest_exact1d", f("b", 2, 5), after=([10],)),
    row("_upsample_nearest_exact3d", f("b", 2, 3, 4, 5), after=([6, 8, 10],)),
    row("_weight_norm", f(3, 4), f(3, 1)),
    Row(
        "_weight_norm_interface",
        lambda v, g: aten._weight_norm_interface.default(v, g)[0],
        (f(3, 4), f(3, 1)),
    ),
    row("gru_cell", *CELL, f(6, 3), f(6, 2), f(6), f(6)),
    row("rnn_relu_cell", *CELL, f(2, 3), f(2, 2), f(2), f(2)),
    row("rnn_tanh_cell", *CELL, f(2, 3), f(2, 2), f(2), f(2)),
    Row(
        "lstm_cell",
        lambda x, h, c, w, r: aten.lstm_cell.default(x, [h, c], w, r),
        (*LSTM, f(8, 3), f(8, 2)),
    ),
    row(
        "max_unpool2d",
        f(1, 2, 2, 2),
        torch.tensor([0, 3, 9, 10]).expand(1, 2, 4).reshape(1, 2, 2, 2),
        after=([4, 4],),
    ),
    row(
        "max_unpool3d",
        f(1, 1, 1, 2, 2),
        torch.tensor([0, 3, 9, 10]).reshape(1, 1, 1, 2, 2),
        after=([1, 4, 4], [1, 2, 2], [0, 0, 0]),
    ),
]
LOSSES = [
    row("binary_cross_entropy", SHARE, SHARE),
    row("binary_cross_entropy_with_logits", X, SHARE),
    row("cosine_embedding_loss", f(2, 4), f(2, 4), torch.tensor([1.0, -1.0])),
    row("cross_entropy_loss", f(2, 4), CLASSES),
    row("hinge_embedding_loss", f(2, 4), SIGNS),
    row("huber_loss", X, X),
    row("kl_div", X, SHARE),
    row("l1_loss", X, X),
    row("margin_ranking_loss", f(2, 4), f(2, 4), SIGNS),
    row("mse_loss", X, X),
    row("multi_margin_loss", f(2, 4), CLASSES),
    row("multilabel_margin_loss", f(2, 4), torch.tensor([[1, 2, -1, 0], [0, -1, 1, 2]])),
    Row(
        "multilabel_margin_loss_forward",
        lambda x, y: aten.multilabel_margin_loss_forward.default(x, y, 1)[0],
        (f(2, 4), torch.tensor([[1, 2, -1, 0], [0, -1, 1, 2]])),
    ),
    row("nll_loss", f(2, 4), CLASSES),
    row("nll_loss_nd", f(2, 4), CLASSES),
    Row(
        "nll_loss_forward",
        lambda x, y: aten.nll_loss_forward.default(x, y, None, 1, -100)[0],
        (f(2, 4), CLASSES),
    ),
    row("nll_loss2d", f(2, 4, 1, 1), CLASSES.reshape(2, 1, 1)),
    Row(
        "nll_loss2d_forward",
        lambda x, y: aten.nll_loss2d_forward.default(x, y, None, 1, -100)[0],
        (f(2, 4, 1, 1), CLASSES.reshape(2, 1, 1)),
    ),
    row("poisson_nll_loss", X, SHARE, after=(True, False, 1e-8, 1)),
    row("smooth_l1_loss", X, X),
    row("soft_margin_loss", f(2, 4), SIGNS),
    row("triplet_margin_loss", X, X, X),
]
CONVERTED = [*LAYOUT, *TYPES, *ELEMENTS, *MATRICES, *LAYERS, *LOSSES]
UNEXPORTED = [
    row("_reshape_from_tensor", f(2, 6), torch.tensor([3, 4])),
    row("_shape_as_tensor", f(2, 3)),
    row("allclose", X, X),
    row("equal", X, X),
    row("combinations", VECTOR),
    row("_pad_packed_sequence", f(6, 2), torch.tensor([2, 2, 2]), after=(True, 0.0, 3)),
    row("corrcoef", f(3, 8)),
    row("cov", f(3, 8)),
    Row(
        "_sobol_engine_draw",
        lambda q, s: aten._sobol_engine_draw.default(q, 2, s, 3, 0, None)[0],
        (i64(3, low=0), i64(3, 30, low=0)),
    ),
    row("slow_conv3d", f("b", 2, 4, 5, 6), f(3, 2, 2, 2, 2), after=([2, 2, 2],)),
    row("_wrapped_linear_prepack", f(3, 4), f(1), torch.zeros(1, dtype=torch.int64), f(3)),
    row("ctc_loss.IntList", f(5, 1, 4), torch.tensor([[1, 2]]), after=([5], [2])),
]


def named(row):
    return row.name


@pytest.mark.parametrize("row", CONVERTED, ids=named)
def test_converts(row):
    check_lowered(row)


@pytest.mark.parametrize("row", UNEXPORTED, ids=named)
def test_is_not_exported(row):
    with pytest.raises(Exception, match=r"data|unbacked|kernel|not supported|aten\."):
        row.program()


def test_what_is_not_exported_is_listed():
    assert {row.name.partition(".")[0] for row in UNEXPORTED} == NOT_EXPORTED
