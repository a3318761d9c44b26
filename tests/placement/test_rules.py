# SPDX-License-Identifier: Apache-2.0
"""Every rule of the DLA with a layer that breaks it, beside layers at the limit that do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_trt.network.graph import Network
from edge_trt.network.layer import Layer
from edge_trt.network.layers import (
    LRN,
    Activation,
    Cast,
    Concatenation,
    Cumulative,
    Deconvolution,
    Einsum,
    ElementWise,
    Gather,
    GridSample,
    Identity,
    MatrixMultiply,
    Normalization,
    ParametricReLU,
    Quantize,
    Reduce,
    Resize,
    Scale,
    Select,
    Shape,
    Shuffle,
    Slice,
    SoftMax,
    Unary,
)
from edge_trt.network.types import DType, TensorType
from edge_trt.placement.rules import RULES, STATEMENTS
from edge_trt.placement.rules.products import buffer_banks
from edge_trt.placement.table import uncovered
from tests.placement.rows import conv, deconv, network, node, ones, pool, situation_of, verdict_on

X = (1, 8, 16, 16)
OLD = {"tensorrt": (8, 5, 2)}
FP16 = {"precision": "fp16", "dtype": DType.FLOAT16}
XAVIER = {"generation": 1}


RULE = {rule.id: rule for rule in RULES}

REFUSED: list[tuple[str, Layer, tuple[Any, ...], dict[str, Any]]] = [
    ("G4", Activation("RELU"), ((1, 8, "h", 16),), {}),
    ("G4", Activation("RELU"), (("batch", 8, 16, 16),), {}),
    ("G1", Activation("RELU"), (X,), {"precision": "fp16"}),
    ("G1", Activation("RELU"), (X,), {"dtype": DType.BFLOAT16}),
    ("G1", ElementWise("SUM"), (X, ones(1, 8, 1, 1, dtype=np.int32)), {"dtype": DType.INT32}),
    ("G2", Activation("RELU"), ((4097, 8, 2, 2),), {}),
    ("G3", Activation("RELU"), ((1, 1, 1, 8193),), {}),
    ("M-FORM", MatrixMultiply(), ((1, 8193), ones(8193, 4)), {}),
    ("G9-index", Gather(1), (X, np.array([0])), {}),
    ("G9-attention", Einsum("nchw,nchw->nchw"), (X, X), {}),
    ("G9-normalization", Normalization((1, 2, 3)), (X, ones(1, 8, 1, 1), ones(1, 8, 1, 1)), {}),
    ("G9-scan", Cumulative(1), (X,), {}),
    ("G9-sampling", GridSample(), (X, (1, 4, 4, 2)), {}),
    ("G9-shape", Shape(), (X,), {"first": "G1"}),
    ("G9-select", Select(), (X, X, X), {"first": "G1", "dtype": DType.BOOL}),
    ("G11", Quantize(1), (X, ones(8)), {"first": "G1"}),
    ("X-EDGE", Cast(DType.FLOAT16), (X,), {"precision": "fp16"}),
    ("X-EDGE", Cast(DType.FLOAT32), (X,), {"dtype": DType.UINT8}),
    ("X-CAST", Cast(DType.FLOAT16), (X,), {"first": "X-EDGE"}),
    ("C-DIMS", conv(dims=3), ((1, 4, 8, 8, 8), ones(4, 4, 1, 1, 1)), {}),
    ("C-WEIGHTS", conv(), (X, (4, 8, 3, 3)), {}),
    ("C-KERNEL", conv(), ((1, 1, 64, 64), ones(1, 1, 33, 33)), {}),
    ("C-PAD", conv(padding=3), (X, ones(4, 8, 3, 3)), {}),
    ("C-STRIDE", conv(stride=9), (X, ones(4, 8, 3, 3)), {}),
    ("C-DILATION", conv(dilation=33), ((1, 1, 80, 80), ones(1, 1, 2, 2)), {}),
    ("C-MAPS", conv(), ((1, 1, 1, 1), ones(8193, 1, 1, 1)), {"first": "G3"}),
    ("C-GROUPS", conv(groups=8193), ((1, 8193, 1, 1), ones(8193, 1, 1, 1)), {"first": "G3"}),
    ("C-CBUF", conv(padding=3), ((1, 512, 64, 256), ones(8, 512, 7, 7)), {}),
    ("D-DIMS", Deconvolution((2, 2, 2), (0,) * 3, (0,) * 3, (1, 1, 1)),
     ((1, 2, 4, 4, 4), ones(2, 2, 2, 2, 2)), {}),
    ("D-WINDOW", deconv((64, 2)), ((1, 2, 2, 2), ones(2, 2, 64, 2)), {}),
    ("D-SQUARE", deconv(23), ((1, 2, 2, 2), ones(2, 2, 23, 23)), {}),
    ("D-PAD", deconv(2, padding=1), ((1, 2, 4, 4), ones(2, 2, 4, 4)), {}),
    ("D-GROUPS", deconv(groups=2), ((1, 2, 4, 4), ones(2, 1, 2, 2)), {}),
    ("D-DILATION", deconv(dilation=2), ((1, 2, 4, 4), ones(2, 2, 2, 2)), {}),
    ("M-FORM", MatrixMultiply("NONE", "TRANSPOSE"), ((1, 16), ones(4, 16)), {}),
    ("E-RANK", Activation("RELU"), ((1, 16),), {}),
    ("E-RANK", ElementWise("SUM"), ((1, 16), (1, 16)), {}),
    ("A-TYPE", Activation("HARD_SIGMOID", 0.2, 0.5), (X,), {}),
    ("A-TYPE", Activation("GELU_ERF"), (X,), {}),
    ("A-CLIP", Activation("CLIP", 0.0, 128.0), (X,), {}),
    ("A-PRELU", ParametricReLU(), (X, (1, 8, 1, 1)), {}),
    ("E-OP", ElementWise("DIV"), (X, X), OLD),
    ("E-OP", ElementWise("FLOOR_DIV"), (X, X), {}),
    ("E-DIV", ElementWise("DIV"), (X, ones(1, 8, 1, 1)), {}),
    ("E-COMPARE", ElementWise("GREATER"), (X, X), {}),
    ("E-COMPARE", ElementWise("GREATER"), (X, X), {**OLD, "then": Cast(DType.FLOAT32)}),
    ("E-ORDER", ElementWise("PROD"), ((1, 8, 1, 1), X), {}),
    ("E-SHAPE", ElementWise("PROD"), (X, (1, 8, 16, 1)), {}),
    ("S-CONST", Scale(), (X, (8,), (8,)), {}),
    ("U-OP", Unary("NEG"), (X,), {}),
    ("U-OP", Unary("SIN"), (X,), OLD),
    ("U-INT8", Unary("ABS"), (X,), FP16),
    ("SM-XAVIER", SoftMax(1), (X,), XAVIER),
    ("SM-AXIS", SoftMax(0), (X,), {}),
    ("SM-AXIS", SoftMax(1), ((1, 1025, 2, 1),), {}),
    ("L-WINDOW", LRN(11, 1.0, 0.75, 1.0), (X,), {}),
    ("P-DIMS", pool(2, dims=3), ((1, 2, 4, 4, 4),), {}),
    ("P-WINDOW", pool(9), (X,), {}),
    ("P-PAD", pool(8, padding=8), (X,), {}),
    ("P-STRIDE", pool(2, stride=17), ((1, 2, 40, 40),), {}),
    ("P-COUNT", pool(3, padding=1, type="AVERAGE"), (X,), OLD),
    ("R-OP", Reduce("AVG", (2, 3), True), (X,), {}),
    ("R-OP", Reduce("MAX", (2, 3), True), (X,), OLD),
    ("R-AXES", Reduce("MAX", (2, 3), False), (X,), {}),
    ("J-AXIS", Concatenation(2), (X, X), {}),
    ("J-INPUTS", Concatenation(1), (X, ones(1, 8, 16, 16)), {}),
    ("Z-SHAPE", Resize("NEAREST", shape=(1, 8, 32, 32)), (X,), {}),
    ("Z-FACTOR", Resize("NEAREST", scales=(1, 1, 1.5, 1.5)), (X,), {}),
    ("Z-FACTOR", Resize("LINEAR", scales=(1, 1, 5, 5)), (X,), {}),
    ("Z-FORM", Resize("LINEAR", scales=(1, 1, 2, 2), coordinate_transformation="ALIGN_CORNERS"),
     (X,), {}),
    ("SL-STRIDE", Slice((2,), (0,), (8,), (2,)), (X,), {}),
    ("SL-RANK", Slice((0,), (0,), (1,), (1,)), ((2, 8, 4, 4),), {}),
    ("SL-CONST", Slice((2,), None, (8,), (1,)), (X, np.array([0])), {}),
    ("SL-MODE", Slice((2,), (-1,), (18,), (1,), "REFLECT"), (X,), {}),
    ("SL-MODE", Slice((2,), (-1,), (18,), (1,), "FILL"), (X, ones()), {}),
    ("SL-INT8", Slice((2,), (0,), (8,), (1,)), (X,), OLD),
    ("SH-XAVIER", Shuffle((0, 1, 3, 2)), (X,), XAVIER),
    ("SH-RANK", Shuffle(reshape_dims=(1, -1)), (X,), {}),
    ("SH-BATCH", Shuffle((1, 0, 2, 3)), (X,), {}),
    ("Q-SCALE", Concatenation(1), (X, X), {"scales": {"x": 0.1, "x_1": 0.2, "y0": 0.2}}),
    ("Q-SCALE", ElementWise("SUM"), (X, X), {"scales": {"x": 0.1, "x_1": 0.2, "y0": 0.2}}),
    ("Q-SCALE", pool(2), (X,), {"scales": {"x": 0.1, "y0": 0.2}}),
]  # fmt: skip
"""Rule, layer, operands, and how the layer is judged; `first` is a rule that is asked before."""


@pytest.mark.parametrize(("rule", "layer", "operands", "how"), REFUSED)
def test_what_breaks_a_rule(
    rule: str, layer: Layer, operands: tuple[Any, ...], how: dict[str, Any]
) -> None:
    net, situation = _case(layer, operands, how)
    assert RULE[rule].breaks(node(net), situation_of(net, **situation)) is not None
    found = verdict_on(net, **situation)
    assert found.rule is not None
    assert found.rule.id == how.get("first", rule)
    for part in (found.rule.id, "backbone.0", "model.py:7", str(found.value), found.rule.limit):
        assert part in found.sentence


ALLOWED: list[tuple[Layer, tuple[Any, ...], dict[str, Any]]] = [
    (conv(stride=8, padding=31), ((1, 3, 64, 64), ones(4, 3, 32, 32)), {}),
    (conv(dilation=32), ((1, 1, 80, 80), ones(1, 1, 2, 2)), {}),
    (conv(padding=1, groups=64), ((1, 64, 8, 8), ones(64, 1, 3, 3), ones(64)), {}),
    (deconv((64, 1)), ((1, 2, 2, 2), ones(2, 2, 64, 1)), {}),
    (deconv(22), ((1, 2, 2, 2), ones(2, 2, 22, 22)), {}),
    (pool(8, stride=16, padding=7), ((1, 2, 64, 64),), {}),
    (Activation("RELU"), (X,), FP16),
    (Activation("RELU"), ((4096, 8192, 1, 1),), {}),
    (Activation("CLIP", 0.0, 6.0), (X,), {}),
    (Activation("CLIP", 0.0, 127.0), (X,), {}),
    (ParametricReLU(), (X, ones(1, 8, 1, 1)), {}),
    (ElementWise("PROD"), (X, (1, 8, 1, 1)), {}),
    (ElementWise("SUM"), (X, X), XAVIER),
    (ElementWise("GREATER"), (X, ones(1, 1, 1, 1)), {"then": Cast(DType.FLOAT32)}),
    (Scale(), (X, ones(8), ones(8)), {}),
    (Unary("ABS"), (X,), {}),
    (LRN(5, 1.0, 0.75, 1.0), (X,), {}),
    (Reduce("MAX", (2, 3), True), (X,), {}),
    (Concatenation(1), (X, X), {"scales": {"x": 0.1, "x_1": 0.1, "y0": 0.1}}),
    (Resize("NEAREST", scales=(1, 1, 32, 32), coordinate_transformation="ASYMMETRIC"), (X,), {}),
    (Resize("LINEAR", scales=(1, 1, 4, 4)), (X,), {}),
    (SoftMax(1), ((1, 8192, 1, 1),), FP16),
    (SoftMax(3), ((1, 4, 4, 1024),), FP16),
    (Slice((2,), (-1,), (18,), (1,), "FILL"), (X, np.zeros((), np.float32)), {}),
    (Shuffle((0, 2, 3, 1)), (X,), {}),
    (Identity(), (X,), {}),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "operands", "how"), ALLOWED)
def test_what_is_at_the_limit_is_allowed(
    layer: Layer, operands: tuple[Any, ...], how: dict[str, Any]
) -> None:
    net, situation = _case(layer, operands, how)
    found = verdict_on(net, **situation)
    assert found.allowed, found.sentence
    assert found.doubts == ()
    assert found.sentence == ""


DOUBTED: list[tuple[str, Layer, tuple[Any, ...], dict[str, Any]]] = [
    ("A-CLIP-LOW", Activation("CLIP", -1.0, 1.0), (X,), {}),
    ("A-LEAKY", Activation("LEAKY_RELU", 0.1), (X,), {}),
    ("E-LATER", ElementWise("POW"), (X, X), {}),
    ("U-LATER", Unary("SIN"), (X,), {}),
    ("SM-INT8", SoftMax(1), (X,), {}),
    ("P-EXCLUSIVE", pool(3, padding=1, type="AVERAGE"), (X,), {}),
]


@pytest.mark.parametrize(("rule", "layer", "operands", "how"), DOUBTED)
def test_what_an_uncertain_source_allows_is_marked(
    rule: str, layer: Layer, operands: tuple[Any, ...], how: dict[str, Any]
) -> None:
    net, situation = _case(layer, operands, how)
    found = verdict_on(net, **situation)
    assert found.allowed
    assert found.doubts == (rule,)


def _case(
    layer: Layer, operands: tuple[Any, ...], how: dict[str, Any]
) -> tuple[Network, dict[str, Any]]:
    """The network of a row, and how its layer is judged."""
    build = {name: how[name] for name in ("dtype", "then") if name in how}
    if build.get("dtype") is DType.FLOAT16:
        operands = tuple(o.astype("f2") if isinstance(o, np.ndarray) else o for o in operands)
    rest = {n: value for n, value in how.items() if n not in ("first", "dtype", "then")}
    return network(layer, *operands, **build), rest


WITHOUT_A_ROW = {"G9-control"}
"""Their kinds run networks of their own."""


def test_every_rule_has_a_row() -> None:
    rows = {rule for rule, *_ in (*REFUSED, *DOUBTED)} | WITHOUT_A_ROW
    assert {rule.id for rule in RULES} == rows
    assert len({rule.id for rule in RULES}) == len(RULES)


def test_every_layer_kind_has_a_rule() -> None:
    assert uncovered() == []


def test_general_rules_are_complete() -> None:
    stated = {s.id for s in STATEMENTS} | {rule.id.split("-")[0] for rule in RULES}
    assert {f"G{n}" for n in range(1, 18)} <= stated


@pytest.mark.parametrize(
    ("channels", "window", "width", "element", "banks"),
    [
        (3, (7, 7), 224, 1, (1, 2)),
        (512, (3, 3), 7, 1, (1, 1)),
        (512, (3, 3), 7, 2, (1, 1)),
        (512, (7, 7), 256, 1, (1, 28)),
        (2048, (3, 3), 64, 1, (1, 12)),
    ],
)
def test_banks_of_the_convolution_buffer(
    channels: int, window: tuple[int, int], width: int, element: int, banks: tuple[int, int]
) -> None:
    assert buffer_banks(channels, window, width, 1, element) == banks


def test_a_layer_without_a_scale_computes_in_fp16() -> None:
    net = network(Activation("RELU"), X)
    assert verdict_on(net, scales={"x": 0.1, "y0": 0.1}).precision == "int8"
    assert verdict_on(net, scales={"x": 0.1}).precision == "fp16"
    assert verdict_on(network(Activation("SIGMOID"), X)).precision == "fp16"


def test_a_cast_between_layers_is_not_one_at_the_edge() -> None:
    net = Network("net")
    x = net.add(Activation("RELU"), net.input("x", TensorType(DType.FLOAT32, X)))
    x = net.add(Cast(DType.FLOAT16), x, name="layer")
    net.mark_output(net.add(Activation("RELU"), x), "y")
    found = verdict_on(net, precision="fp16")
    assert found.rule is RULE["X-CAST"]


def test_control_flow_is_refused() -> None:
    assert {kind.__name__ for kind in RULE["G9-control"].kinds} == {"Loop", "IfConditional"}
