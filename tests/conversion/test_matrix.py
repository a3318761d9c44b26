# SPDX-License-Identifier: Apache-2.0
"""Converters of `matrix.py` and `einsum.py`."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edge_trt.conversion.converters.einsum import explicit
from tests.conversion.checking import check_row
from tests.conversion.rows import Row, f, i64


def einsum(equation):
    return lambda *tensors: torch.einsum(equation, *tensors)


class Weighted(nn.Module):
    """An Einstein sum with a parameter, the second operand unless its term is first."""

    def __init__(self, equation: str, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.equation = equation
        self.weight = nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = len(self.equation.partition(",")[0]) == self.weight.dim() < x.dim()
        operands = (self.weight, x) if first else (x, self.weight)
        return torch.einsum(self.equation, *operands)


ROWS = [
    Row("linear", nn.Linear(5, 4), (f("b", 5),), "MatrixMultiply ElementWise"),
    Row("linear without bias", nn.Linear(5, 4, bias=False), (f("b", 5),), "MatrixMultiply"),
    Row("linear of 3 dimensions", nn.Linear(5, 4), (f("b", "n", 5),)),
    Row("linear of 4 dimensions", nn.Linear(5, 4), (f(2, 3, 4, 5),)),
    Row("linear of a vector", nn.Linear(5, 4), (f(5),)),
    Row("linear computed weight", nn.functional.linear, (f("b", 5), f(4, 5), f(4))),
    Row("matmul", torch.matmul, (f("b", 3, "n"), f("b", "n", 4)), "MatrixMultiply"),
    Row("matmul broadcast", torch.matmul, (f(2, 1, 3, 5), f(4, 5, 2))),
    Row("matmul matrix by batch", torch.matmul, (f(3, 5), f("b", 5, 2))),
    Row("matmul vectors", torch.matmul, (f(5), f(5))),
    Row("matmul vector by matrix", torch.matmul, (f(5), f(5, 3))),
    Row("matmul matrix by vector", torch.matmul, (f("n", 5), f(5))),
    Row("matmul vector by batch", torch.matmul, (f(5), f(2, 5, 3))),
    Row("matmul batch by vector", torch.matmul, (f("b", "n", 5), f(5))),
    Row("matmul of ints", torch.matmul, (i64(2, 3), i64(3, 2)), refusal="product of integers"),
    Row("mm", torch.mm, (f("b", 5), f(5, 3)), "MatrixMultiply"),
    Row("bmm", torch.bmm, (f("b", 3, 5), f("b", 5, 2)), "MatrixMultiply"),
    Row("mv of a transposed matrix", lambda a, b: torch.mv(a.t(), b), (f(4, 7), f(4))),
    Row("matmul transposed matrix by vector", lambda a, b: a.t() @ b, (f(4, 4), f(4))),
    Row("matmul vector by transposed matrix", lambda a, b: b @ a.t(), (f(7, 4), f(4))),
    Row(
        "matmul vector by transposed batch",
        lambda a, b: b @ a.transpose(1, 2),
        (f("b", 4, 4), f(4)),
    ),
    Row("mv", torch.mv, (f(3, 5), f(5)), "MatrixMultiply"),
    Row("dot", torch.dot, (f(5), f(5))),
    Row("dot of ints", torch.dot, (i64(5), i64(5))),
    Row("addmm", torch.addmm, (f(3), f("b", 5), f(5, 3))),
    Row(
        "addmm scaled",
        lambda a, b, c: torch.addmm(a, b, c, beta=0.5, alpha=2),
        (f(2, 3), f(2, 5), f(5, 3)),
    ),
    Row(
        "addmm beta 0",
        lambda a, b, c: torch.addmm(a, b, c, beta=0),
        (torch.full((2, 3), torch.nan), f(2, 5), f(5, 3)),
        "MatrixMultiply",
    ),
    Row(
        "addmm of ints", torch.addmm, (i64(3), i64(2, 5), i64(5, 3)), refusal="product of integers"
    ),
    Row("baddbmm", torch.baddbmm, (f(2, 3, 2), f(2, 3, 5), f(2, 5, 2))),
    Row(
        "baddbmm scaled",
        lambda a, b, c: torch.baddbmm(a, b, c, beta=2, alpha=3),
        (f(1, 3, 2), f("b", 3, 5), f("b", 5, 2)),
    ),
    Row(
        "linear of ints",
        nn.functional.linear,
        (i64(2, 3), i64(2, 3)),
        refusal="product of integers",
    ),
    Row("einsum matmul", einsum("bij,bjk->bik"), (f("b", 3, 4), f("b", 4, 5)), "Einsum"),
    Row("einsum implied", einsum("ij,jk"), (f(3, 4), f(4, 5)), "Einsum"),
    Row("einsum outer", einsum("i,j->ij"), (f(3), f(4))),
    Row("einsum sum", einsum("ij->"), (f(3, 4),)),
    Row("einsum transpose", einsum("ij->ji"), (f(3, 4),)),
    Row("einsum implied transpose", einsum("ba"), (f(3, 4),)),
    Row("einsum upper case", einsum("Bij,Bjk->Bik"), (f(2, 3, 4), f(2, 4, 5)), "Einsum"),
    Row("einsum spaces", einsum(" i j , j k -> i k "), (f(3, 4), f(4, 5))),
    Row("einsum three", einsum("ij,jk,kl->il"), (f(3, 4), f(4, 5), f(5, 2))),
    Row("einsum ellipsis", einsum("...ij,...jk->...ik"), (f("b", 2, 3, 4), f("b", 2, 4, 5))),
    Row("einsum ellipsis of two lengths", einsum("...ij,jk"), (f(2, 3, 4), f(4, 5))),
    Row("einsum attention", einsum("bnhd,bmhd->bhnm"), (f("b", 3, 2, 4), f("b", 5, 2, 4))),
    *(
        Row(f"einsum of weights {equation}", Weighted(equation, shape), (x,), kinds)
        for equation, shape, x, kinds in (
            ("bchw,cd->bdhw", (4, 5), f("b", 4, 2, 3), "Shuffle MatrixMultiply Shuffle"),
            ("bchw,dc->bdhw", (5, 4), f("b", 4, 2, 3), "Shuffle MatrixMultiply Shuffle"),
            ("...c,cd", (4, 5), f("b", 3, 4), "MatrixMultiply"),
            ("dc,btc->btd", (5, 4), f("b", 3, 4), None),
            ("bc,cd->db", (4, 5), f("b", 4), "MatrixMultiply Shuffle"),
            ("bc,cd->bcd", (4, 5), f("b", 4), "Einsum"),
            ("bc,cd->b", (4, 5), f("b", 4), "Einsum"),
            ("btc,cd->bd", (4, 5), f("b", 3, 4), "Einsum"),
            ("btc,chd->bthd", (4, 2, 5), f("b", 3, 4), "Einsum"),
        )
    ),
    Row("einsum diagonal", einsum("ii->i"), (f(3, 3),), refusal="repeats a label"),
    Row("einsum broadcast", einsum("ij,ij->ij"), (f(3, 1), f(3, 4)), refusal="broadcasts"),
    Row(
        "einsum of ints", einsum("ij,jk->ik"), (i64(3, 4), i64(4, 5)), refusal="Einsum of integers"
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_matrix(row):
    check_row(row)


@pytest.mark.parametrize(
    ("equation", "ranks", "expected"),
    [
        ("ij,jk->ik", (2, 2), "ab,bc->ac"),
        ("ij , jk", (2, 2), "ab,bc->ac"),
        ("aB,Bc", (2, 2), "ab,bc->ac"),
        ("...Ij,jk", (3, 2), "abc,cd->abd"),
        ("...i,...i->...", (3, 2), "abc,bc->ab"),
        ("ba", (2,), "ab->ba"),
    ],
)
def test_explicit_equation(equation, ranks, expected):
    assert explicit(equation, ranks) == expected
