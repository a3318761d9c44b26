# SPDX-License-Identifier: Apache-2.0
"""Matrix products and linear layers. Einstein sums are in `einsum.py`."""

from __future__ import annotations

import torch
from torch import fx

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import converter, refuse
from edge_trt.network.builder import Scalar
from edge_trt.network.graph import Tensor

aten = torch.ops.aten

INTEGER = "TensorRT has no matrix product of integers: cast to float in the model"


def _float_self(self: fx.Node) -> str | None:
    return None if self.meta["val"].is_floating_point() else INTEGER


def _float_input(input: fx.Node) -> str | None:
    return _float_self(input)


@converter(aten.linear.default, when=_float_input, note="float input")
def linear(ctx: Context, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    result = ctx.matmul(input, weight, transpose_b=True)
    return result if bias is None else ctx.elementwise("SUM", result, bias)


@converter(aten.matmul.default, when=_float_self, note="float input")
def matmul(ctx: Context, self: Tensor, other: Tensor) -> Tensor:
    return ctx.matmul(self, other)


@converter(aten.mm.default, aten.bmm.default, when=_float_self, note="float input")
def mm(ctx: Context, self: Tensor, mat2: Tensor) -> Tensor:
    return ctx.matmul(self, mat2)


@converter(aten.mv.default, when=_float_self, note="float input")
def mv(ctx: Context, self: Tensor, vec: Tensor) -> Tensor:
    return ctx.matmul(self, vec)


@converter(aten.dot.default)
def dot(ctx: Context, self: Tensor, tensor: Tensor) -> Tensor:
    return ctx.reduce("SUM", ctx.elementwise("PROD", self, tensor), [0], keep_dims=False)


def _scaled(ctx: Context, x: Tensor, factor: Scalar) -> Tensor:
    return x if factor == 1 else ctx.elementwise("PROD", x, factor)


@converter(aten.addmm.default, when=_float_self, note="float input")
def addmm(
    ctx: Context, self: Tensor, mat1: Tensor, mat2: Tensor, beta: Scalar, alpha: Scalar
) -> Tensor:
    product = _scaled(ctx, ctx.matmul(mat1, mat2), alpha)
    if beta == 0:  # then PyTorch does not read it: not even NaN matters
        return product
    return ctx.elementwise("SUM", product, _scaled(ctx, self, beta))


@converter(aten.baddbmm.default, when=_float_self, note="float input")
def baddbmm(
    ctx: Context, self: Tensor, batch1: Tensor, batch2: Tensor, beta: Scalar, alpha: Scalar
) -> Tensor:
    return addmm(ctx, self, batch1, batch2, beta, alpha)


FACTORISATIONS = (
    "inv", "inv_ex", "det", "slogdet", "svd", "eigh", "eig", "eigvals", "eigvalsh", "qr", "pinv",
    "cholesky", "cholesky_ex", "solve", "solve_ex", "solve_triangular", "lu", "lu_factor", "lstsq",
    "matrix_exp", "matrix_rank", "householder_product", "cond", "ldl_factor", "svdvals",
    "tensorinv", "tensorsolve", "ldl_factor_ex", "ldl_solve", "lu_factor_ex", "lu_solve",
)  # fmt: skip

refuse(
    "TensorRT can't factorise a matrix: do it once outside of the model, or let it fall back",
    *(getattr(aten, f"linalg_{name}") for name in FACTORISATIONS),
    aten._linalg_det, aten._linalg_slogdet, aten._linalg_svd, aten._lu_with_info, aten.det,
    aten.inverse, aten.logdet, aten.lu_solve, aten.matrix_exp, aten.nuclear_norm, aten.orgqr,
    aten.pinverse, aten.qr, aten.slogdet, aten.svd, aten._cholesky_solve_helper,
    aten._compute_linear_combination, aten._linalg_eigh, aten._linalg_eigvals,
    aten._linalg_solve_ex, aten.cholesky, aten.cholesky_inverse, aten.cholesky_solve, aten.geqrf,
    aten.lu_unpack, aten.ormqr, aten.triangular_solve,
)  # fmt: skip
refuse(
    "all differences are in memory, and there are more than 2**24 here: compare fewer rows, or"
    " give their sizes a range",
    aten.cdist, aten._cdist_forward,
)  # fmt: skip
refuse(
    "TensorRT gets the distances of a known number of rows, 2 to 64: use torch.cdist",
    aten.pdist, aten._pdist_forward,
)  # fmt: skip
refuse(
    "TensorRT has no Fourier transform: multiply with its matrix as real cosines and sines, or let"
    " it fall back",
    *(
        getattr(aten, f"fft_{name}{kind}")
        for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
        for kind in ("", "2", "n")
    ),
    aten._fft_r2c, aten._fft_c2c, aten._fft_c2r,
)  # fmt: skip
refuse(
    "it is written as convolutions for n_fft up to 1024, with return_complex=True for stft alone,"
    " and a length that the frames reach: use these, or let it fall back",
    aten.stft, aten.istft,
)  # fmt: skip
