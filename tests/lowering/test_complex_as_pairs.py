# SPDX-License-Identifier: Apache-2.0
"""Complex values as pairs, seen in the graph."""

from __future__ import annotations

import torch

from edge_trt.lowering.complex_as_pairs import complex_as_pairs
from tests.lowering.graphs import agree, check, lines, ops, text, unlifted

FREQS = torch.polar(torch.ones(4), torch.arange(4.0))


def test_a_rotation_is_four_products():
    def rotate(x, freqs):
        return torch.view_as_real(torch.view_as_complex(x) * freqs)

    gm = unlifted(rotate, torch.randn(3, 4, 2), freqs=FREQS)
    assert complex_as_pairs(gm)
    check(gm)
    assert text(gm) == lines("""
        freqs_1 = <freqs_1>
        x = input
        select = select.int(x, 2, 0)
        select_1 = select.int(x, 2, 1)
        select_2 = select.int(freqs_1, 1, 0)
        select_3 = select.int(freqs_1, 1, 1)
        mul_1 = mul.Tensor(select_1, select_3)
        mul_2 = mul.Tensor(select, select_2)
        sub = sub.Tensor(mul_2, mul_1)
        mul_3 = mul.Tensor(select, select_3)
        mul_4 = mul.Tensor(select_1, select_2)
        add = add.Tensor(mul_3, mul_4)
        stack = stack([sub, add], 2)
        return (stack)
    """)
    agree(gm, rotate, torch.randn(3, 4, 2), freqs=FREQS)
    assert not complex_as_pairs(gm)


def test_views_cost_nothing():
    def function(x):
        return torch.view_as_real(torch.view_as_complex(x).clone()) * 2

    gm = unlifted(function, torch.randn(3, 2))
    complex_as_pairs(gm)
    check(gm)
    assert ops(gm) == ["mul"]


def test_what_a_transform_yields_stays_complex():
    def function(x):
        numbers = torch.view_as_complex(x)
        return torch.fft.fft(numbers).abs(), numbers.abs()

    gm = unlifted(function, torch.randn(3, 4, 2))
    assert complex_as_pairs(gm)
    check(gm)
    assert sorted(ops(gm)) == ["abs", "fft_fft", "hypot", "select", "select", "view_as_complex"]
    agree(gm, function, torch.randn(3, 4, 2))


def test_a_complex_output_stays():
    def function(x):
        return torch.view_as_complex(x) * 1j

    gm = unlifted(function, torch.randn(3, 2))
    assert not complex_as_pairs(gm)
    check(gm)
    assert ops(gm) == ["view_as_complex", "mul"]


def test_double_precision_stays():
    def function(x):
        return torch.view_as_real(torch.view_as_complex(x) * 2)

    gm = unlifted(function, torch.randn(3, 2, dtype=torch.float64))
    assert not complex_as_pairs(gm)
    assert ops(gm) == ["view_as_complex", "mul", "view_as_real"]
