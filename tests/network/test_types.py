# SPDX-License-Identifier: Apache-2.0
"""The algebra of types and of sizes that may be symbolic."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_trt.network.serialize import parse_type
from edge_trt.network.types import (
    UNKNOWN,
    DType,
    ShapeError,
    TensorType,
    broadcast_dim,
    broadcast_shapes,
    map_dim,
    merge_dim,
    merge_shapes,
    same_dim,
    volume,
)

DIMS = st.one_of(st.integers(0, 4), st.sampled_from(["n", "m", UNKNOWN]))


def test_data_types_round_trip_through_numpy() -> None:
    for dtype in DType:
        assert DType.of(np.zeros(1, dtype.numpy)) is dtype
        assert str(dtype) == dtype.value
    assert DType.BFLOAT16.numpy == ml_dtypes.bfloat16
    assert {d for d in DType if d.is_float} == {DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16}
    assert not DType.BOOL.is_integer
    assert not DType.BOOL.is_float


@pytest.mark.parametrize("array", [np.zeros(1), np.array(["a"]), np.zeros(1, complex)], ids=str)
def test_types_that_no_tensor_has_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ValueError):
        DType.of(array)


def test_tensor_type() -> None:
    found = TensorType(DType.FLOAT32, ("batch", 3))
    assert str(found) == "float32[batch, 3]"
    assert (found.rank, found.is_static) == (2, False)
    assert found.with_shape([1]) == TensorType(DType.FLOAT32, (1,))
    assert found.with_dtype(DType.INT8).shape == ("batch", 3)
    assert TensorType(DType.BOOL, ()).is_static


@pytest.mark.parametrize(
    "text", ["float32[]", "int64[3]", "float16[batch, 3, ?]", "bool[Max(1, s0), batch*49]"]
)
def test_types_round_trip_through_text(text: str) -> None:
    assert str(parse_type(text)) == text


@pytest.mark.parametrize("text", ["float32", "float64[3]", "float32[3", "", "[3]"])
def test_what_is_not_a_type_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a tensor type"):
        parse_type(text)


@given(DIMS, DIMS)
def test_merging_is_symmetric_and_keeps_what_is_known(a: int | str, b: int | str) -> None:
    assert same_dim(a, b) == same_dim(b, a)
    if not same_dim(a, b):
        assert isinstance(a, int)
        assert isinstance(b, int)
        return
    merged = merge_dim(a, b)
    assert merged in (a, b)
    if isinstance(a, int) or isinstance(b, int):
        assert isinstance(merged, int)
    elif merged == UNKNOWN:
        assert a == b == UNKNOWN


@given(st.integers(0, 3), st.integers(0, 3), st.booleans(), st.booleans())
def test_broadcast_of_symbols_allows_what_numpy_does(
    a: int, b: int, hide_a: bool, hide_b: bool
) -> None:
    left: int | str = f"n{a}" if hide_a and a != 1 else a
    right: int | str = f"n{b}" if hide_b and b != 1 else b
    try:
        (expected,) = np.broadcast_shapes((a,), (b,))
    except ValueError:
        if isinstance(left, int) and isinstance(right, int):
            with pytest.raises(ShapeError, match="op: sizes"):
                broadcast_dim(left, right, "op")
        return
    found = broadcast_dim(left, right, "op")
    assert found in (expected, f"n{expected}", UNKNOWN)


def test_shapes() -> None:
    assert broadcast_shapes((2, 1, "n"), (1, 3, "n"), "op") == (2, 3, "n")
    assert merge_shapes(("n", 3), (2, UNKNOWN), "op") == (2, 3)
    with pytest.raises(ShapeError, match="op: ranks differ"):
        broadcast_shapes((2,), (1, 2), "op")
    with pytest.raises(ShapeError, match=r"op: shapes \[2\] and \[3\] differ"):
        merge_shapes((2,), (3,), "op")
    with pytest.raises(ShapeError):
        merge_shapes((2,), (2, 1), "op")
    assert volume((2, 3)) == 6
    assert volume(()) == 1
    assert volume((2, "n")) == UNKNOWN
    assert map_dim(lambda n: n + 1, 2) == 3
    assert map_dim(lambda n: n + 1, "n") == UNKNOWN
