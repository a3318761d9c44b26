# SPDX-License-Identifier: Apache-2.0
"""Functions of one tensor, element by element."""

from __future__ import annotations

import torch

from edge_trt.conversion.context import Context
from edge_trt.conversion.registry import NO_NAN, converter, refuse, table
from edge_trt.network.graph import Tensor
from edge_trt.network.layers.elementwise import UnaryOp
from edge_trt.network.types import DType

aten = torch.ops.aten

MATH: dict[object, UnaryOp] = {
    aten.exp.default: "EXP", aten.log.default: "LOG", aten.sqrt.default: "SQRT",
    aten.reciprocal.default: "RECIP", aten.erf.default: "ERF", aten.sin.default: "SIN",
    aten.cos.default: "COS", aten.tan.default: "TAN", aten.sinh.default: "SINH",
    aten.cosh.default: "COSH", aten.asin.default: "ASIN", aten.acos.default: "ACOS",
    aten.atan.default: "ATAN", aten.asinh.default: "ASINH", aten.acosh.default: "ACOSH",
    aten.atanh.default: "ATANH", aten.abs.default: "ABS", aten.neg.default: "NEG",
}  # fmt: skip
"""Functions computed in the type of their result, which is float for most integers."""

ROUNDING: dict[object, UnaryOp] = {
    aten.ceil.default: "CEIL",
    aten.floor.default: "FLOOR",
    aten.round.default: "ROUND",
}
"""Functions that leave integers as they are."""

table(MATH, lambda ctx, op, self: ctx.function(op, self))
table({aten.sign.default: "SIGN"}, lambda ctx, op, self: ctx.function(op, self), note=NO_NAN)
table(ROUNDING, lambda ctx, op, self: ctx.unary(op, self) if self.dtype.is_float else self)
table(
    {aten.isnan.default: "ISNAN", aten.isinf.default: "ISINF"},
    lambda ctx, op, self: ctx.unary(op, ctx.cast(self, DType.FLOAT32)),
)


@converter(aten.rsqrt.default)
def rsqrt(ctx: Context, self: Tensor) -> Tensor:
    return ctx.unary("RECIP", ctx.unary("SQRT", ctx.as_result(self)))


@converter(aten.square.default)
def square(ctx: Context, self: Tensor) -> Tensor:
    return ctx.promoted("PROD", self, self)


@converter(aten.logical_not.default)
def logical_not(ctx: Context, self: Tensor) -> Tensor:
    return ctx.unary("NOT", ctx.cast(self, DType.BOOL))


@converter(aten.trunc.default, aten.fix.default)
def trunc(ctx: Context, self: Tensor) -> Tensor:
    return ctx.truncated(self) if self.dtype.is_float else self


@converter(aten._to_copy.default, aten.to.dtype, aten.to.dtype_layout, aten.to.other)
def to_copy(ctx: Context, self: Tensor) -> Tensor:
    return ctx.as_result(self)


@converter(aten.clone.default, aten.contiguous.default, aten.detach.default, aten.alias.default)
def clone(ctx: Context, self: Tensor) -> Tensor:
    return self


SPECIAL = (
    "bessel_j0", "bessel_j1", "digamma", "erfcx", "erfinv", "gammainc", "gammaincc", "gammaln",
    "i0", "i0e", "i1", "i1e", "log_ndtr", "multigammaln", "ndtri", "polygamma", "psi",
    "spherical_bessel_j0", "zeta", "airy_ai", "bessel_y0", "bessel_y1", "modified_bessel_i0",
    "modified_bessel_i1", "modified_bessel_k0", "modified_bessel_k1", "scaled_modified_bessel_k0",
    "scaled_modified_bessel_k1",
)  # fmt: skip
refuse(
    "TensorRT has no such function: tabulate it outside of the model, or let it fall back",
    aten.lgamma,
    aten.digamma,
    aten.polygamma,
    aten.igamma,
    aten.igammac,
    aten.erfinv,
    aten.i0,
    aten.nextafter,
    aten.frexp,
    aten.gcd,
    aten.lcm,
    aten.mvlgamma,
    *(getattr(aten, f"special_{name}") for name in SPECIAL),
)
refuse(
    "TensorRT has no complex numbers, and what is computed here has no form in pairs of real ones:"
    " compute with real pairs",
    aten.view_as_complex.default, aten.view_as_real.default, aten.complex.default,
    aten.polar.default, aten._conj.default, aten.resolve_conj.default, aten.imag.default,
    aten._conj_copy, aten.view_as_complex_copy, aten.view_as_real_copy,
)  # fmt: skip
refuse(
    "TensorRT has no float64, int16 or complex numbers: cast to float32 or int32",
    aten._cast_Double,
    aten._cast_Short,
    aten.chalf,
)
