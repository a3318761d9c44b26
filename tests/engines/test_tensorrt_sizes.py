# SPDX-License-Identifier: Apache-2.0
"""Ranges of symbolic sizes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_trt.errors import BuildError
from edge_trt.network.size_bounds import size_range
from edge_trt_runtime.manifest import Range

RANGES = {"a": Range(1, 3, 4), "b": Range(2, 5, 9)}
FUNCTIONS = {"Max": max, "Min": min, "FloorDiv": lambda x, y: x // y}
FUNCTIONS["PythonMod"] = lambda x, y: x % y


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (7, Range(7, 7, 7)),
        ("a", Range(1, 3, 4)),
        ("a*49", Range(49, 147, 196)),
        ("(b//2) + 1", Range(2, 3, 5)),
        ("16 - b", Range(7, 11, 14)),
        ("a**2", Range(1, 9, 16)),
        ("Max(3, a)", Range(3, 3, 4)),
        ("Min(a, 2, b)", Range(1, 2, 2)),
        ("-a + 5", Range(1, 2, 4)),
        ("PythonMod(-b, 16)", Range(7, 11, 14)),
        ("b + PythonMod(-b, 4)", Range(2, 8, 12)),
        ("Mod(b, 4)", Range(0, 1, 3)),
        ("a % b", Range(0, 3, 8)),
    ],
)
def test_exact_ranges(size, expected):
    assert size_range(size, RANGES, "input x") == expected


def joined(parts) -> str:
    return f"({' '.join(parts)})"


def called(parts) -> str:
    return f"{parts[0]}({parts[1]}, {parts[2]})"


def divided(parts) -> str:
    return f"({parts[0]} // {parts[1]})"


expressions = st.recursive(
    st.sampled_from(["a", "b"]) | st.integers(1, 5).map(str),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(joined),
        st.tuples(st.sampled_from(["Max", "Min"]), inner, inner).map(called),
        st.tuples(inner, st.integers(1, 4)).map(divided),
        st.tuples(st.just("PythonMod"), inner, st.integers(-4, 4).filter(bool)).map(called),
    ),
    max_leaves=6,
)


@given(expressions)
def test_no_value_is_outside(text):
    found = size_range(text, RANGES, "input x")
    spans = (range(r.min, r.max + 1) for r in (RANGES["a"], RANGES["b"]))
    values = [eval(text, {"a": a, "b": b, **FUNCTIONS}) for a, b in itertools.product(*spans)]
    assert found.min <= min(values)
    assert max(values) <= found.max
    assert found.opt == eval(text, {"a": 3, "b": 5, **FUNCTIONS})


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("?", "nothing is known"),
        ("c*2", "size c of input x has no range"),
        ("a @ b", "not understood"),
        ("a*", "not understood"),
        ("__import__('os')", "not understood"),
        ("a // (b - b)", "not understood"),
        ("a.real", "not understood"),
    ],
)
def test_refusals(size, message):
    with pytest.raises(BuildError, match=message):
        size_range(size, RANGES, "input x")
