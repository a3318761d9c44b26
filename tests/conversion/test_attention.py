# SPDX-License-Identifier: Apache-2.0
"""Converters of `attention.py`."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import edge_trt
from tests.conversion.checking import check_row
from tests.conversion.rows import Row, boolean, f

QKV = (f("b", 2, "n", 4), f("b", 2, 5, 4), f("b", 2, 5, 4))
SELF = (f("b", 2, "n", 4),) * 3
FULL = torch.ones(3, 5, dtype=torch.bool).tril(2)
HIDDEN = torch.tensor([[0.0, -torch.inf], [-torch.inf, -torch.inf], [0.5, 1.0]])
NONE = torch.tensor([[True, False], [False, False], [True, True]])


def attend(**options):
    return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **options)


def masked(q, k, v, mask):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def masked_and_causal(q, k, v, mask):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=True)


def by_constant(mask):
    return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


ROWS = [
    Row("plain", attend(), QKV, "ElementWise MatrixMultiply SoftMax MatrixMultiply"),
    Row("scale", attend(scale=0.3), QKV),
    Row("other value size", attend(), (f(1, 2, 3, 4), f(1, 2, 5, 4), f(1, 2, 5, 6))),
    Row("three dimensions", attend(), (f("b", 3, 4), f("b", 5, 4), f("b", 5, 4))),
    Row("causal", attend(is_causal=True), (f("b", 2, 6, 4), f("b", 2, 6, 4), f("b", 2, 6, 4))),
    Row("causal, more keys", attend(is_causal=True), (f(1, 2, 3, 4), f(1, 2, 5, 4), f(1, 2, 5, 4))),
    Row("causal of a symbolic length", attend(is_causal=True), SELF),
    Row("float mask", masked, (*QKV, f("n", 5))),
    Row("float mask that hides a row", masked, (f(1, 3, 4), f(1, 2, 4), f(1, 2, 4), HIDDEN)),
    Row(
        "constant float mask that hides a row",
        by_constant(HIDDEN),
        (f(1, 3, 4),) + (f(1, 2, 4),) * 2,
    ),
    Row("constant float mask", by_constant(HIDDEN[::2]), (f(1, 2, 4),) + (f(1, 2, 4),) * 2),
    Row("float mask of every query", masked, (*QKV, f("b", 1, 1, 5))),
    Row("bool mask", masked, (*QKV, boolean("b", 1, "n", 5))),
    Row("bool mask that allows nothing", masked, (f(1, 3, 4), f(1, 2, 4), f(1, 2, 4), NONE)),
    *(
        Row(f"causal with a {kind} mask", masked_and_causal, (*QKV, mask))
        for kind, mask in (("float", f("n", 5)), ("bool", boolean("b", 1, "n", 5)))
    ),
    Row(
        "causal with a float mask that hides a row",
        masked_and_causal,
        (f(1, 1, 3, 4), f(1, 1, 2, 4), f(1, 1, 2, 4), HIDDEN),
    ),
    Row("constant mask", by_constant(FULL), (f("b", 3, 4), f("b", 5, 4), f("b", 5, 4))),
    Row("constant mask with an empty row", by_constant(NONE), (f(1, 3, 4), f(1, 2, 4), f(1, 2, 4))),
    Row(
        "grouped queries",
        attend(enable_gqa=True),
        (f("b", 6, "n", 4), f("b", 2, 5, 4), f("b", 2, 5, 4)),
    ),
    Row("grouped queries, one each", attend(enable_gqa=True), SELF),
    Row("dropout", attend(dropout_p=0.5), QKV, refusal="call model.eval()"),
    Row(
        "symbolic embedding",
        attend(),
        (f(1, 3, "n"), f(1, 5, "n"), f(1, 5, 4)),
        refusal="give scale a number",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_attention(row):
    check_row(row)


@pytest.mark.parametrize("causal", [False, True])
def test_nothing_to_attend_to_falls_back(causal):
    class Attention(torch.nn.Module):
        def forward(self, q, k):
            return F.scaled_dot_product_attention(q, k, k, is_causal=causal)

    inputs = (torch.ones(1, 2, 3, 4), torch.ones(1, 2, 0, 4))
    with pytest.warns(edge_trt.EdgeTrtWarning, match=r"attention has nothing to attend to: a size"):
        bundle = edge_trt.compile(Attention().eval(), inputs)
    torch.testing.assert_close(bundle.module()(*inputs), Attention()(*inputs))
