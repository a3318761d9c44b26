# SPDX-License-Identifier: Apache-2.0
"""What each layer kind makes of its input types, and what it refuses.

Results for numbers are compared with execution in tests/engines; here are symbols and refusals.
"""

from __future__ import annotations

from typing import Any

import pytest

from edge_trt.network.layer import Layer
from edge_trt.network.layers import (
    LRN,
    Activation,
    Cast,
    Concatenation,
    Convolution,
    Cumulative,
    Deconvolution,
    Dequantize,
    Einsum,
    ElementWise,
    Fill,
    Gather,
    GridSample,
    Identity,
    IfConditional,
    Loop,
    MatrixMultiply,
    Normalization,
    OneHot,
    ParametricReLU,
    Pooling,
    Quantize,
    Reduce,
    Resize,
    Scale,
    Scatter,
    Select,
    Shape,
    Shuffle,
    Slice,
    SoftMax,
    TopK,
    Unary,
)
from edge_trt.network.serialize import parse_type
from edge_trt.network.types import DType, ShapeError, TensorType
from tests.support.layer_rows.control import either, running_sum

CONV = Convolution((2, 2), (1, 1), (1, 1), (1, 1))
DECONV = Deconvolution((2, 2), (1, 1), (0, 0), (1, 1))
POOL = Pooling("MAX", (2, 2), (2, 2), (0, 0), (0, 0))
F, INT = "float32", "int64"

GOOD: list[tuple[Layer, list[str], str]] = [
    (CONV, [f"{F}[n, 3, h, 8]", f"{F}[16, 3, 3, 3]"], f"{F}[n, 16, ?, 4]"),
    (DECONV, [f"{F}[n, 3, 4, w]", f"{F}[3, 5, 3, 3]", f"{F}[5]"], f"{F}[n, 5, 8, ?]"),
    (POOL, [f"{F}[n, c, 8, w]"], f"{F}[n, c, 4, ?]"),
    (Activation("RELU"), ["float16[n]"], "float16[n]"),
    (Unary("ISNAN"), [f"{F}[n]"], "bool[n]"),
    (Unary("NOT"), ["bool[n]"], "bool[n]"),
    (ElementWise("LESS"), [f"{INT}[n, 1]", f"{INT}[1, m]"], "bool[n, m]"),
    (ElementWise("SUM"), [f"{F}[n, 1]", f"{F}[n, 3]"], f"{F}[n, 3]"),
    (ElementWise("SUM"), [f"{F}[n]", f"{F}[m]"], f"{F}[?]"),
    (ElementWise("SUM"), [f"{F}[n]", f"{F}[3]"], f"{F}[3]"),
    (Select(), ["bool[1, 3]", f"{F}[n, 1]", f"{F}[1, 1]"], f"{F}[n, 3]"),
    (Cast(DType.INT8), [f"{F}[n]"], "int8[n]"),
    (Identity(), ["bool[n]"], "bool[n]"),
    (ParametricReLU(), [f"{F}[n, 3]", f"{F}[1, 3]"], f"{F}[n, 3]"),
    (Scale(), [f"{F}[n, 3, h, w]", f"{F}[3]", f"{F}[3]"], f"{F}[n, 3, h, w]"),
    (MatrixMultiply(), [f"{F}[n, 3, 4]", f"{F}[1, 4, m]"], f"{F}[n, 3, m]"),
    (MatrixMultiply("TRANSPOSE", "VECTOR"), [f"{F}[4, m]", f"{F}[4]"], f"{F}[m]"),
    (MatrixMultiply("VECTOR", "VECTOR"), [f"{F}[k]", f"{F}[4]"], f"{F}[]"),
    (Einsum("ab,bc->ca"), [f"{F}[n, 3]", f"{F}[k, m]"], f"{F}[m, n]"),
    (SoftMax(1), [f"{F}[n, m]"], f"{F}[n, m]"),
    (Normalization((1,)), [f"{F}[n, 4]", f"{F}[1, 4]", f"{F}[1, 1]"], f"{F}[n, 4]"),
    (Normalization((2,), num_groups=2), [f"{F}[n, 4, m]"] + [f"{F}[1, 4, 1]"] * 2, f"{F}[n, 4, m]"),
    (LRN(3, 1, 1, 1), [f"{F}[n, 4, h, w]"], f"{F}[n, 4, h, w]"),
    (Quantize(), [f"{F}[n]", f"{F}[]"], "int8[n]"),
    (Dequantize(0), ["int8[3, n]", "float16[3]"], "float16[3, n]"),
    (Reduce("SUM", (0,)), [f"{F}[n, m]"], f"{F}[m]"),
    (Reduce("MAX", (0,), True), [f"{F}[n, m]"], f"{F}[1, m]"),
    (Cumulative(0), [f"{F}[n]"], f"{F}[n]"),
    (Shuffle((1, 0)), [f"{F}[n, m]"], f"{F}[m, n]"),
    (Shuffle(reshape_dims=(0, -1)), [f"{F}[n, 3, 4]"], f"{F}[n, 12]"),
    (Shuffle(reshape_dims=(-1, 4)), [f"{F}[n, 4]"], f"{F}[n, 4]"),
    (Shuffle(reshape_dims=(-1, 12)), [f"{F}[n, m, 4]"], f"{F}[?, 12]"),
    (Shuffle(), [f"{F}[n]", "int64[2]"], f"{F}[?, ?]"),
    (Slice((0,), (0,), (3,), (0,)), [f"{F}[1, n]"], f"{F}[3, n]"),
    (Slice((0,), None, None, (1,)), [f"{F}[n, m]", "int64[1]", "int64[1]"], f"{F}[?, m]"),
    (Slice((0,), (-1,), (5,), (1,), "FILL"), [f"{F}[3]", f"{F}[]"], f"{F}[5]"),
    (Concatenation(0), [f"{F}[2, n]", f"{F}[3, ?]"], f"{F}[5, n]"),
    (Concatenation(0), [f"{F}[n, 2]", f"{F}[3, 2]"], f"{F}[?, 2]"),
    (Shape(), [f"{F}[n, m]"], "int64[2]"),
    (Fill(), ["int64[2]", f"{F}[]", f"{F}[2]"], f"{F}[?, ?]"),
    (Gather(1), [f"{F}[n, 3, m]", "int32[a, b]"], f"{F}[n, a, b, m]"),
    (Gather(1, num_elementwise_dims=1), [f"{F}[n, 3, m]", "int32[n, b]"], f"{F}[n, b, m]"),
    (Gather(0, "ELEMENT"), [f"{F}[n, m]", "int64[a, b]"], f"{F}[a, b]"),
    (Gather(mode="ND"), [f"{F}[n, m, 4]", "int64[a, 2]"], f"{F}[a, 4]"),
    (Scatter("ND"), [f"{F}[n, m]", "int64[a, 1]", f"{F}[a, m]"], f"{F}[n, m]"),
    (OneHot(-1), ["int32[n]", f"{F}[2]", "int32[]"], f"{F}[n, ?]"),
    (OneHot(0), ["int32[n]", f"{F}[2]", "int32[]"], f"{F}[?, n]"),
    (Resize("LINEAR", (1, 3, 8, 8)), [f"{F}[1, 3, h, w]"], f"{F}[1, 3, 8, 8]"),
    (Resize("NEAREST", scales=(1, 1, 2, 2)), [f"{F}[n, 3, 4, w]"], f"{F}[n, 3, 8, ?]"),
    (Resize("NEAREST"), [f"{F}[n, 3]", "int64[2]"], f"{F}[?, ?]"),
    (GridSample(), [f"{F}[n, 3, h, w]", f"{F}[n, 5, m, 2]"], f"{F}[n, 3, 5, m]"),
]


@pytest.mark.parametrize(("layer", "inputs", "result"), GOOD, ids=lambda v: str(v).replace(" ", ""))
def test_result(layer: Any, inputs: list[str], result: str) -> None:
    assert str(layer.infer(*map(parse_type, inputs))) == result


def test_top_k_has_two_results() -> None:
    found = TopK("MAX", 2, 1).infer(parse_type("float32[n, m]"))
    assert list(map(str, found)) == ["float32[n, 2]", "int32[n, 2]"]


def test_every_kind_is_in_the_table() -> None:
    several = {TopK, Loop, IfConditional}
    assert {type(layer) for layer, _, _ in GOOD} | several == set(Layer.kinds.values())


def test_a_loop_gives_last_states_and_stacked_elements() -> None:
    found = running_sum(DType.FLOAT32).infer(*map(parse_type, [f"{F}[n]", f"{F}[steps, n]"]))
    assert list(map(str, found)) == [f"{F}[n]", f"{F}[steps, ?]"]


def test_a_conditional_gives_what_both_branches_agree_on() -> None:
    found = either(DType.INT32).infer(*map(parse_type, ["bool[]", "int32[n, 3]", "int32[n, 3]"]))
    assert list(map(str, found)) == ["int32[?, 3]", "int32[?, 3]"]


BAD: list[tuple[Layer, list[str], str]] = [
    (running_sum(DType.FLOAT32), [f"{F}[4]"], "1 inputs for 2 states"),
    (running_sum(DType.FLOAT32), [f"{F}[4]", f"{F}[]"], "can't be iterated over"),
    (running_sum(DType.FLOAT32), [f"{F}[4]", f"{F}[3, 4]", f"{F}[4]"], "takes 2 inputs, not 3"),
    (running_sum(DType.FLOAT32), [f"{F}[4]", "int32[3, 4]"], "input 1 of running is int32"),
    (running_sum(DType.FLOAT32), [f"{F}[4, 2]", f"{F}[3, 4]"], "input 0 of running"),
    (either(DType.FLOAT32), ["int32[]", f"{F}[2, 3]", f"{F}[2, 3]"], "not one bool"),
    (either(DType.FLOAT32), ["bool[1]", f"{F}[2, 3]", f"{F}[2, 3]"], "not one bool"),
    (either(DType.FLOAT32), ["bool[]", f"{F}[2, 3]"], "takes 2 inputs, not 1"),
    (CONV, [f"{F}[1, 4, 8, 8]", f"{F}[16, 3, 3, 3]"], "4 channels"),
    (CONV, [f"{F}[1, 3, 8]", f"{F}[16, 3, 3]"], "rank 4"),
    (CONV, [f"{F}[1, 3, 8, 8]", "float16[16, 3, 3, 3]"], "kernel float16"),
    (CONV, ["int8[1, 3, 8, 8]", "int8[16, 3, 3, 3]"], "float"),
    (CONV, [f"{F}[1, 3, 8, 8]", f"{F}[16, 3, 3, 3]", f"{F}[1, 16]"], "bias"),
    (CONV, [f"{F}[1, 3, 0, 8]", f"{F}[16, 3, 3, 3]"], "does not fit"),
    (CONV, [f"{F}[1, 3, 8, 8]", f"{F}[16, 3, k, 3]"], "window must be known"),
    (Convolution((1,), (0,), (0,), (1,)), [f"{F}[1, 3, 8]", f"{F}[4, 3, 3]"], "2 or 3"),
    (DECONV, [f"{F}[1, 4, 8, 8]", f"{F}[3, 5, 3, 3]"], "4 channels"),
    (Deconvolution((1, 1), (3, 3), (0, 0), (1, 1)), [f"{F}[1, 1, 1, 1]", f"{F}[1, 1, 2, 2]"],
     "leaves nothing"),
    (POOL, [f"{F}[1, 3, 1, 8]"], "does not fit"),
    (POOL, [f"{INT}[1, 3, 8, 8]"], "pooling of int64"),
    (POOL, [f"{F}[3, 8, 8]"], "rank 4"),
    (Activation("RELU"), [f"{INT}[1]"], "float input"),
    (Unary("NOT"), [f"{F}[1]"], "bool"),
    (Unary("EXP"), [f"{INT}[1]"], "EXP does not take"),
    (ElementWise("SUM"), [f"{F}[2]", f"{F}[3]"], "sizes 2 and 3"),
    (ElementWise("SUM"), [f"{F}[2]", f"{F}[1, 2]"], "ranks differ"),
    (ElementWise("SUM"), [f"{F}[2]", "float16[2]"], "float32 and float16"),
    (ElementWise("SUM"), ["bool[2]", "bool[2]"], "does not take bool"),
    (ElementWise("AND"), [f"{INT}[2]", f"{INT}[2]"], "needs bool"),
    (Select(), [f"{F}[2]", f"{F}[2]", f"{F}[2]"], "condition"),
    (Select(), ["bool[2]", f"{F}[2]", f"{INT}[2]"], "branches"),
    (ParametricReLU(), [f"{F}[2]", "float16[2]"], "slopes float16"),
    (ParametricReLU(), [f"{F}[2, 1]", f"{F}[1, 3]"], "are larger than"),
    (Scale(), [f"{INT}[1, 3, 8, 8]"] + [f"{INT}[3]"] * 2, "float input"),
    (Scale(), [f"{F}[1, 3, 8]"] + [f"{F}[3]"] * 2, "four dimensions"),
    (Scale(), [f"{F}[1, 3, 8, 8]", f"{F}[3]", "float16[3]"], "weights float16"),
    (Scale(), [f"{F}[1, 3, 8, 8]", f"{F}[3]", f"{F}[4]"], "per channel"),
    (Scale(), [f"{F}[1, 3, 8, 8]", f"{F}[1, 3, 1, 1]", f"{F}[3]"], "per channel"),
    (MatrixMultiply(), [f"{F}[2, 3]", f"{F}[4, 5]"], "inner sizes 3 and 4"),
    (MatrixMultiply(), [f"{INT}[2, 3]", f"{INT}[3, 5]"], "no matrix product"),
    (MatrixMultiply(), [f"{F}[2, 2, 3]", f"{F}[3, 2, 3, 5]"], "ranks differ"),
    (MatrixMultiply(), [f"{F}[3]", f"{F}[3, 3]"], "two dimensions"),
    (Einsum("ab,bc"), [f"{F}[2, 3]", f"{F}[3, 3]"], "explicit"),
    (Einsum("ab,bc->ac"), [f"{F}[2, 3]"], "with 1 inputs"),
    (Einsum("ab,bc->ac"), [f"{F}[2, 3]", f"{F}[4, 3]"], "'b' is 3 and 4"),
    (SoftMax(2), [f"{F}[2, 3]"], "axis 2"),
    (Normalization((1,)), [f"{F}[2, 3]", f"{F}[1, 4]", f"{F}[1, 3]"], "Normalization"),
    (Normalization((1,)), ["float16[2, 3]", f"{F}[1, 3]", f"{F}[1, 3]"], "types differ"),
    (Normalization((2,), num_groups=2), [f"{F}[2, 4, 3]"] + [f"{F}[1, 3, 1]"] * 2, "groups"),
    (LRN(4, 1, 1, 1), [f"{F}[1, 3, 4, 4]"], "even"),
    (Quantize(), [f"{INT}[2]", f"{F}[]"], "int64"),
    (Quantize(1), [f"{F}[2, 3]", f"{F}[2]"], "along axis 1"),
    (Dequantize(), [f"{F}[2]", f"{F}[]"], "float32"),
    (Reduce("SUM", ()), [f"{F}[2]"], "needs an axis"),
    (Reduce("SUM", (1,)), [f"{F}[2]"], "axes"),
    (Reduce("SUM", (0,)), ["bool[2]"], "bool"),
    (TopK("MAX", 4, 1), [f"{F}[2, 3]"], "4 of 3"),
    (TopK("MAX", 1, 0), [f"{F}[2]"], "two dimensions"),
    (TopK("MAX", 0, 1), [f"{F}[2, 3]"], "0 computed k"),
    (TopK("MAX", 2, 1), [f"{F}[2, 3]", "int32[]"], "1 computed k"),
    (TopK("MAX", 0, 1), [f"{F}[2, 3]", "int64[]"], "k is int32"),
    (Cumulative(1), [f"{F}[2]"], "axis 1"),
    (Shuffle((0, 0)), [f"{F}[2, 3]"], "transpose"),
    (Shuffle(reshape_dims=(4, -1)), [f"{F}[2, 3]"], "reshape"),
    (Shuffle(reshape_dims=(-1, -1)), [f"{F}[2, 3]"], "several -1"),
    (Shuffle(reshape_dims=(5,)), [f"{F}[2, 3]"], "6 elements into 5"),
    (Shuffle(reshape_dims=(2, 3, 0)), [f"{F}[2, 3]"], "reshape"),
    (Shuffle(reshape_dims=(6,)), [f"{F}[2, 3]", "int64[1]"], "exclude"),
    (Shuffle(), [f"{F}[2]", "int64[n]"], "sizes are"),
    (Slice((0,), (1,), (3,), (1,)), [f"{F}[3]"], "elements 1 to 3"),
    (Slice((0,), (1,), (3,), (-1,)), [f"{F}[3]"], "elements 1 to -1"),
    (Slice((0,), (1,), None, (1,)), [f"{F}[3]"], "1 more inputs"),
    (Slice((0,), (1, 2), (3,), (1,)), [f"{F}[3]"], "different lengths"),
    (Slice((1,), (0,), (3,), (1,)), [f"{F}[3]"], "axes"),
    (Slice((0,), (0,), (9,), (1,), "FILL"), [f"{F}[3]", f"{INT}[]"], "fill is int64"),
    (Concatenation(0), [f"{F}[2, 3]", f"{F}[2, 4]"], "other axes"),
    (Concatenation(0), [f"{F}[2]", f"{INT}[2]"], "int64 beside float32"),
    (Concatenation(1), [f"{F}[2]"], "axis 1"),
    (Concatenation(0), [], "needs an input"),
    (Fill(), ["int64[n]", f"{F}[]", f"{F}[2]"], "shape is"),
    (Gather(), [f"{F}[3]", f"{F}[3]"], "indices are float32"),
    (Gather(0, "ELEMENT"), [f"{F}[3, 3]", "int64[3]"], "elements of"),
    (Gather(mode="ND"), [f"{F}[3, 3]", "int64[3, n]"], "must be known"),
    (Scatter("ELEMENT"), [f"{F}[3]", "int64[2]", f"{F}[3]"], "differ"),
    (Scatter("ND"), [f"{F}[3]", "int64[2, 1]", f"{INT}[2]"], "updates int64"),
    (OneHot(), ["int32[n]", f"{F}[]", "int32[]"], "values"),
    (Resize("LINEAR"), [f"{F}[1, 3, 4, 4]"], "exactly one"),
    (Resize("LINEAR", (1, 3, 8)), [f"{F}[1, 3, 4, 4]"], "shape"),
    (Resize("CUBIC", (1, 6, 8, 8)), [f"{F}[1, 3, 4, 4]"], "last 2 dimensions"),
    (GridSample(), [f"{F}[1, 3, 4, 4]", f"{F}[1, 5, 2]"], "GridSample"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "inputs", "message"), BAD, ids=lambda v: str(v).replace(" ", ""))
def test_refusal(layer: Any, inputs: list[str], message: str) -> None:
    types: list[TensorType] = list(map(parse_type, inputs))
    with pytest.raises(ShapeError, match=message):
        layer.infer(*types)


def test_layers_print_what_differs_from_the_default() -> None:
    assert str(Resize("LINEAR", (1, 2))) == "Resize[resize_mode=LINEAR shape=(1,2)]"
    assert str(Identity()) == "Identity[]"
    assert Gather(1).attributes() == {"axis": 1}
    assert CONV.kind == "Convolution"
