# SPDX-License-Identifier: Apache-2.0
"""Operators that lowering writes in smaller ones, through all of it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.conversion.checking import check_lowered
from tests.conversion.rows import Row, boolean, f, i32, i64

X = f("b", 3, "n")
SMALL = torch.tensor(
    [0.0, 1e-30, -1e-20, 1e-7, -1e-7, 1e-4, -3e-3, 0.1, -0.3, 0.49, 0.6, 3.0, 50.0]
)
ABOVE_MINUS_ONE = torch.cat([SMALL, torch.tensor([-0.51, -0.9, -0.9999, 1e9, math.inf])])
POSITIVE = torch.tensor([1e-30, 0.1, 0.3, 0.9, 1.0, 1.1, 3.0, 7.0, 1e5, 3e30])
AXES = torch.tensor([0.0, -0.0, 1.0, -1.0, 2.5, -1e-20, 3e30])
Y, Z = (t.reshape(-1) for t in torch.meshgrid(AXES, AXES, indexing="ij"))
LARGE = torch.tensor([3e30, 1e-30, 3.0, 0.0, -2.0, math.inf])
INFINITE = torch.tensor([math.inf, -math.inf, 2.0, -math.inf, math.inf])
HALF = torch.tensor([0.0, 1.0, -1.0], dtype=torch.float16)
TIES = torch.tensor([[1.0, 3, 3, 0, 3], [2, 2, 2, 2, 2], [5, -1, -1, 5, 5]])
UNKNOWN = torch.tensor([math.nan, 1.0, -1.0, math.inf, math.nan])
NUMBERS = torch.tensor([2.0, math.nan, 0.5, -math.inf, math.nan])
EXPONENTS = torch.tensor([-3, -2, -1, 0, 1, 2, 3, 7, 12, 19, 39])
ANY_POWER = torch.cat([EXPONENTS, torch.tensor([62, 63, 64, 65, 1000, 1001])])
aten, prims = torch.ops.aten, torch.ops.prims


def pair(name, **options):
    return lambda *args: tuple(getattr(torch, name)(*args, **options))


def rounded(decimals):
    return lambda x: torch.round(x, decimals=decimals)


MATH = [
    Row("log1p", torch.log1p, (f("b", 5, low=-0.9),)),
    Row("log1p near 0", torch.log1p, (ABOVE_MINUS_ONE,), accuracy=2e-6),
    Row("log1p of ints", torch.log1p, (i64(2, 5, low=0, high=9),)),
    Row("expm1", torch.expm1, (f("b", 5),)),
    Row("expm1 near 0", torch.expm1, (SMALL,), accuracy=2e-6),
    Row("expm1 of extremes", torch.expm1, (torch.tensor([-200.0, 200.0, -math.inf, math.inf]),)),
    Row("log2", torch.log2, (f("b", 5, low=0.1),)),
    Row("log2 of ints", torch.log2, (i32(2, 5, low=1, high=9),)),
    *(
        Row(f"{base} to the power of {x.dtype}", lambda x, b=base: b**x, (x,), accuracy=0)
        for base in (2, -3)
        for x in (EXPONENTS, EXPONENTS[:-1].int())
    ),
    *(
        Row(f"{base} to any power", lambda x, b=base: b**x, (ANY_POWER,), accuracy=0)
        for base in (0, 1, -1)
    ),
    Row("2 to the power of an open number", lambda x: 2**x, (i64("b", "n", low=-2, high=9),)),
    Row("integers to the power of integers", torch.pow, (i64("b", 5), i64(5, low=-2, high=20))),
    Row("integers of two types", torch.pow, (i32("b", 5), i64(5, low=0, high=9))),
    Row("log2 of powers", torch.log2, (2.0 ** torch.arange(-100, 100),), accuracy=0),
    Row("log10", torch.log10, (POSITIVE,), accuracy=2e-6),
    Row("log10 of powers", torch.log10, (10.0 ** torch.arange(0, 10),), accuracy=0),
    Row("exp2", torch.exp2, (f("b", 5),)),
    Row("exp2 of ints", torch.exp2, (i64(2, 5),), accuracy=0),
    Row("erfc", torch.erfc, (f("b", 5),)),
    Row("erfc far out", torch.erfc, (torch.arange(-6, 8) * 1.3,), accuracy=2e-5),
    Row("erfc of ints", torch.erfc, (i64(2, 5),)),
    Row("signbit", torch.signbit, (AXES,)),
    Row("signbit of ints", torch.signbit, (i64(2, 5),)),
    Row("copysign", torch.copysign, (f("b", 7), AXES)),
    Row("copysign Scalar", lambda x: torch.copysign(x, -0.0), (f(2, 3),)),
    Row("copysign of ints", torch.copysign, (i64(2, 5), f(5))),
    Row("atan2", torch.atan2, (f("b", 5), f(5))),
    Row("atan2 in all quadrants and on all axes", torch.atan2, (Y, Z), accuracy=2e-6),
    Row("atan2 of infinities", torch.atan2, (INFINITE, INFINITE.flip(0))),
    Row("atan2 of the same infinities", lambda x: torch.atan2(x, x), (INFINITE,)),
    Row("atan2 of ints", torch.atan2, (i64(2, 5), i64(5))),
    Row("hypot", torch.hypot, (f("b", 5), f(5))),
    Row("atan2 of half", lambda y, x: torch.atan2(y, x) > 0, (HALF, HALF.flip(0))),
    Row("hypot of extremes", torch.hypot, (LARGE, LARGE.flip(0)), accuracy=2e-6),
    Row("logaddexp", torch.logaddexp, (f("b", 5), f(5))),
    Row("logaddexp of infinities", torch.logaddexp, (UNKNOWN[1:4], torch.full((3,), math.inf))),
    Row("logaddexp2", torch.logaddexp2, (f("b", 5), f(5))),
    Row("fmax", torch.fmax, (UNKNOWN, NUMBERS)),
    Row("fmin", torch.fmin, (UNKNOWN, NUMBERS)),
    Row("fmax of ints", torch.fmax, (i64("b", 5), i64(5)), "Shuffle ElementWise"),
    *(Row(f"round to {n} digits", rounded(n), (f("b", 5, low=-99, high=99),)) for n in (2, -1)),
    Row("addcmul", lambda x, y, z: torch.addcmul(x, y, z, value=0.5), (X, X, X)),
    Row("addcdiv", lambda x, y, z: torch.addcdiv(x, y, z, value=2), (X, X, f("b", 3, "n", low=1))),
    Row("lerp", torch.lerp, (f("b", 5), f(5), f(5))),
    Row("lerp by a number", lambda x, y: torch.lerp(x, y, 0.3), (f("b", 5), f(5))),
    Row("frac", torch.frac, (torch.tensor([-2.5, -0.3, 0.0, 1.7, 3.0]),)),
    Row("nan_to_num", torch.nan_to_num, (UNKNOWN,)),
    Row("isfinite", torch.isfinite, (UNKNOWN,)),
    Row("isposinf", torch.isposinf, (UNKNOWN,)),
    Row("xlogy", torch.xlogy, (f(2, 5, low=0), f(5, low=0.1))),
    Row("prims.div", lambda x, y: prims.div.default(x, y), (X, f("b", 3, "n", low=1))),
    Row("prims.div of ints", lambda x: prims.div.default(x, x * 0 + 3), (i64(2, 5),)),
]

ACTIVATIONS = [
    Row("glu", lambda x: F.glu(x, 1), (f("b", 4, "n"),)),
    Row("rrelu", F.rrelu, (X,), "Activation"),
    Row("softsign", F.softsign, (X,)),
    Row("tanhshrink", F.tanhshrink, (X,)),
    Row("log_softmax", lambda x: F.log_softmax(x, 1), (X,)),
    Row("softmin", lambda x: F.softmin(x, 1), (X,)),
    Row("hardtanh of ints", lambda x: F.hardtanh(x, -2, 2), (i64(2, 5),)),
]

REDUCTIONS = [
    Row("cumprod", lambda x: x.cumprod(1), (f("b", 5, "n"),)),
    Row("cumprod of ints", lambda x: x.cumprod(-1), (i32(3, 5),)),
    Row("cumprod of bools", lambda x: x.cumprod(0), (boolean(5, 3),)),
    Row("cumprod of one", lambda x: x.cumprod(0) + 1, (f(1, 3),)),
    *(
        Row(
            f"{n} of symbolic axis {d}", lambda x, n=n, d=d: getattr(torch, n)(x, d), (f("n", "b"),)
        )
        for n in ("cumprod", "logcumsumexp")
        for d in (0, 1)
    ),
    *(Row(f"{n} of a symbolic axis", pair(n, dim=1), (f("b", "n"),)) for n in ("cummax", "cummin")),
    Row("cumprod of too many", lambda x: x.cumprod(0), (f(8193),), refusal="cumprod"),
    *(Row(f"{n}", pair(n, dim=1), (f("b", 5, "n"),)) for n in ("cummax", "cummin")),
    *(Row(f"{n} of ties", pair(n, dim=1), (TIES,)) for n in ("cummax", "cummin")),
    Row(
        "place of a least that is rounded",
        lambda x: F.selu(x.half()).cummin(-1)[1],
        (torch.tensor([1.75, 2.25, -0.125, -1.125]),),
    ),
    *(Row(f"{n} of ints", pair(n, dim=-1), (TIES.long(),)) for n in ("cummax", "cummin")),
    Row("logcumsumexp", lambda x: x.logcumsumexp(1), (f("b", 5, "n", low=-90, high=90),)),
    Row(
        "logcumsumexp of infinities",
        lambda x: x.logcumsumexp(0),
        (torch.tensor([-math.inf, -math.inf, 1.0, -90.0, math.inf]),),
    ),
    Row("cumsum without the element", lambda x: x.cumsum(-1) - x, (X,), "Cumulative ElementWise"),
    *(
        Row(f"nansum dim={dim}", lambda x, d=dim: torch.nansum(x, d), (UNKNOWN.reshape(1, 5),))
        for dim in (None, 1)
    ),
    Row("nansum dynamic", lambda x: torch.nansum(x, (0, 2), keepdim=True), (X,)),
    *(
        Row(f"{n} over no axis", lambda x, n=n: getattr(torch, n)(x, ()), (X,), refusal="dim=None")
        for n in ("nansum", "nanmean")
    ),
    Row("nanmean", lambda x: torch.nanmean(x, 1), (UNKNOWN.reshape(1, 5),)),
    *(
        Row(f"{n} dim={dim}", lambda x, n=n, d=dim: getattr(torch, n)(x, d, correction=0), (X,))
        for n, dim in itertools.product(("var_mean", "std_mean"), (None, 1, (0, 2)))
    ),
    *(
        Row(f"{n} unbiased", lambda x, n=n: getattr(aten, n).dim(x, [1], True, True), (X,))
        for n in ("var_mean", "std_mean")
    ),
    *(
        Row(f"{n} of all, biased", lambda x, n=n: getattr(torch, n)(x, unbiased=False), (X,))
        for n in ("var_mean", "std_mean")
    ),
    *(Row(f"{n} of all", lambda x, n=n: getattr(torch, n)(x), (X,)) for n in ("var", "std_mean")),
    Row("aminmax", pair("aminmax", dim=1), (X,)),
    Row("count_nonzero", lambda x: torch.count_nonzero(x, dim=(0, 1)), (i64("b", 3, "n"),)),
    *(
        Row(f"norm p={p}", lambda x, p=p: torch.norm(x.round(), p, dim=1), (X,))
        for p in (0, 1, 2, math.inf, "fro")
    ),
    Row("matrix_norm", lambda x: torch.linalg.matrix_norm(x), (X,)),
    Row("prims.sum", lambda x: prims.sum.default(x, [0, 2]), (X,)),
    Row("diff", torch.diff, (f("b", 5),)),
]

MATRIX = [
    *(
        Row(
            f"addbmm beta={beta}",
            lambda x, y, z, b=beta: torch.addbmm(x, y, z, beta=b, alpha=2),
            (f(3, 5), f("b", 3, 4), f("b", 4, 5)),
        )
        for beta in (0.5, 1, 0)
    ),
    Row(
        "addbmm ignores",
        lambda x, y: torch.addbmm(x.log(), y, y, beta=0),
        (-X.make()[0, :, :3].abs(), f(2, 3, 3)),
    ),
    Row("addmv", lambda x, y, z: torch.addmv(x, y, z, beta=0.5), (f("b"), f("b", 4), f(4))),
    Row("addr", lambda x, y, z: torch.addr(x, y, z, alpha=2), (f("b", 5), f("b"), f(5))),
    Row("outer", torch.outer, (f("b"), f("n"))),
    Row("inner", torch.inner, (f("b", 4), f(5, 4))),
    Row("vdot", torch.vdot, (f("n"), f("n"))),
    Row("kron", torch.kron, (f(2, 3), f(4, 5))),
    Row("linalg_cross", lambda x, y: torch.linalg.cross(x, y, dim=1), (f("b", 3, "n"),) * 2),
    Row("linalg_cross broadcast", torch.linalg.cross, (f("b", 3), f(1, 3))),
    Row("cross", lambda x, y: torch.cross(x, y, dim=-1), (i64(4, 3), i64(4, 3))),
    Row(
        "tensordot",
        lambda x, y: torch.tensordot(x, y, ([1, 2], [0, 1])),
        (f("b", 3, 4), f(3, 4, 5)),
    ),
    Row("chain_matmul", torch.chain_matmul, (f(2, 3), f(3, 4), f(4, 5))),
    Row("multi_dot", lambda *t: torch.linalg.multi_dot(t), (f(2, 3), f(3, 4), f(4, 5))),
    Row("bilinear", nn.Bilinear(3, 4, 5), (f("b", 3), f("b", 4))),
    Row("bilinear of more dimensions", F.bilinear, (f("b", "n", 3), f("b", "n", 4), f(5, 3, 4))),
    Row("matrix_power", lambda x: torch.linalg.matrix_power(x, 3), (f("b", 3, 3),)),
    Row("vecdot", torch.linalg.vecdot, (f("b", 4), f("b", 4))),
    *(
        Row(f"product of ints {a} and {b}", torch.matmul, (i64(*a), i64(*b)))
        for a, b in (
            ((3, 4), (4, 5)),
            ((2, 1, 3, 4), (5, 4, 2)),
            ((4,), (4,)),
            ((4,), (2, 4, 3)),
            ((2, 3, 4), (4,)),
        )
    ),
    Row("mm of int32", torch.mm, (i32(3, 4), i32(4, 5))),
    Row("bmm of ints", torch.bmm, (i64(2, 3, 4), i64(2, 4, 5))),
    Row("mv of ints", torch.mv, (i64(3, 4), i64(4))),
    Row("dot of ints", torch.dot, (i64(4), i64(4))),
    Row("addmm of ints", torch.addmm, (i64(5), i64(3, 4), i64(4, 5))),
    Row("linear of ints", F.linear, (i64(3, 4), i64(5, 4), i64(5))),
    Row("large product of ints", torch.mm, (i64(128, 128), i64(128, 128)), refusal="of integers"),
    Row("product of ints of symbolic size", torch.mm, (i64("b", 4), i64(4, "n"))),
]


def einsum(equation):
    return lambda *tensors: torch.einsum(equation, *tensors)


EINSUM = [
    *(
        Row(f"einsum {equation}", einsum(equation), args)
        for equation, args in {
            "ii->i": (f(3, 3),),
            "ii": (f(4, 4),),
            "bii->bi": (f("b", 3, 3),),
            "ii,ij->j": (f(3, 3), f(3, "b")),
            "ij->": (f("b", 4),),
            "ij->j": (f("b", 4),),
            "abc->cab": (f("b", 3, "n"),),
            "ij,ij->ij": (f(3, 1), f(3, 4)),
            "...ij,...jk->...ik": (f("b", 1, 3, 4), f(2, 4, 5)),
            "bij,bjk->bik": (f(1, 3, 4), f("b", 4, 5)),
            "i,j->ij": (f("b"), f("n")),
            "bi,ij,bj->b": (f("b", 4), f(4, 5), f("b", 5)),
            ",ij->ij": (f(), f("b", 4)),
            "ij,kl->il": (f("b", 4), f(4, 5)),
        }.items()
    ),
    Row("einsum of ints", einsum("ij,jk->ik"), (i64(3, 4), i64(4, 5))),
    Row(
        "einsum of the diagonal of symbolic size", lambda x: einsum("ii->i")(x.outer(x)), (f("n"),)
    ),
    *(Row(f"diagonal {n}", lambda x, n=n: x.diagonal(n), (f(3, 5),)) for n in (0, 2, -1)),
    Row("diagonal of others", lambda x: x.diagonal(1, -1, 0), (f(4, "b", 3),)),
    Row("diagonal of symbolic size", lambda x: x.outer(x).diagonal(), (f("n"),)),
    Row("trace", torch.trace, (f(3, 4),)),
    Row("linalg.inv", torch.linalg.inv, (torch.eye(3),), refusal="factorise"),
    Row("lgamma", torch.lgamma, (f(3),), refusal="no such function"),
]

EMPTY = [
    *(
        Row(f"{name} over nothing", lambda x, n=name: getattr(torch, n)(x, dim=1), (f(2, 0, 3),))
        for name in ("mean", "sum", "prod", "any", "all", "logsumexp", "var", "cumsum", "argsort")
    ),
    *(
        Row(f"{name} of nothing", lambda x, n=name: getattr(torch, n)(x, dim=1), (f(0, 2, 3),))
        for name in ("mean", "any", "argmax", "amax", "softmax", "cumsum")
    ),
    Row("product over nothing", torch.mm, (f(2, 0), f(0, 3)), "Identity"),
    Row("vectors of nothing", torch.dot, (f(0), f(0))),
    Row(
        "argsort of too many",
        torch.argsort,
        (f(5000),),
        refusal="aten.argsort.default is computed by aten.sort.default: the TopK layer",
    ),
    Row("sort of nothing", lambda x: tuple(x.sort()), (f(2, 0),)),
    Row("cat with nothing", lambda x, y: torch.cat([x.relu(), y]), (f(0, 3), f("b", 3))),
    Row("arithmetic on nothing", lambda x, y: (x + 1, y + 1), (f(0, 3), f("b", 3))),
    Row("nothing as it is", lambda x: x, (f(0, 3),)),
]

OTHERS = [
    Row("select_scatter", lambda x, y: torch.select_scatter(x, y, 1, -1), (f("b", 3), f("b"))),
    Row("slice_scatter", lambda x, y: torch.slice_scatter(x, y, 1, 1, 3), (f("b", 4), f("b", 2))),
]


@pytest.mark.filterwarnings("ignore:var\\(\\). degrees of freedom")  # eager says it too
@pytest.mark.filterwarnings("ignore:.*chain_matmul is deprecated")
@pytest.mark.parametrize(
    "row",
    [*MATH, *ACTIVATIONS, *REDUCTIONS, *MATRIX, *EINSUM, *EMPTY, *OTHERS],
    ids=lambda row: row.name,
)
def test_decomposed(row):
    check_lowered(row)
