# SPDX-License-Identifier: Apache-2.0
"""Layer attributes that no export of torch sets: single ONNX operators, judged by ONNX Runtime.

NVIDIA's parser turns the operator into TensorRT layers; what the interpreter makes of those equals
what ONNX Runtime computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.support.compare import assert_close
from tests.support.onnx_parser import parse_bytes
from tests.support.trt_interpreter import Interpreter

trt = pytest.importorskip("tensorrt_rtx")
ort = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.rtx

Array = np.ndarray
FLOAT, INT64, INT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT8
RNG = np.random.default_rng(7)


def floats(*shape: int, scale: float = 1.0) -> Array:
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


def places(high: int, *shape: int) -> Array:
    return RNG.integers(0, high, shape)


def constant(*values: float, dtype: type = np.int64) -> Array:
    return np.array(values, dtype=dtype)


@dataclass(frozen=True)
class Row:
    """One operator: inputs are fed, constants are initializers that follow them."""

    op: str
    inputs: tuple[Array, ...]
    kinds: str
    constants: tuple[Array | None, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = 21
    types: tuple[int, ...] = (FLOAT,)
    """Types of the outputs."""


def resize(mode: str, size: tuple[int, ...], **attributes: Any) -> Row:
    shape = constant(1, 2, *size)
    attributes = {"mode": mode, **attributes}
    return Row("Resize", (floats(1, 2, 6, 7),), "RESIZE", (None, None, shape), attributes, 19)


def pool(op: str, **attributes: Any) -> Row:
    return Row(op, (floats(1, 3, 9, 10),), "POOLING", attributes=attributes)


def scan(**attributes: Any) -> Row:
    return Row("CumSum", (floats(3, 5),), "CUMULATIVE", (np.array(1),), attributes)


def pad(mode: str, *amounts: int) -> Row:
    return Row("Pad", (floats(2, 3, 5),), "SLICE", (constant(*amounts),), {"mode": mode})


def groups(count: int, opset: int) -> Row:
    """Scale and bias per group until opset 20, per channel from 21 on.

    One group is left out: the parser makes the layer of it that instance normalization is, too.
    """
    size = 6 if opset >= 21 else count
    affine = (floats(size), floats(size))
    return Row(
        "GroupNormalization", (floats(2, 6, 5, 4),), "NORMALIZATION", affine,
        {"num_groups": count, "epsilon": 0.01}, opset,
    )  # fmt: skip


def activation(op: str, **attributes: Any) -> Row:
    return Row(op, (floats(3, 7, scale=2),), "ACTIVATION", attributes=attributes)


ROWS: dict[str, Row] = {
    "resize nearest up": resize("nearest", (9, 13), nearest_mode="ceil"),
    "resize nearest asymmetric": resize(
        "nearest", (9, 4), nearest_mode="floor", coordinate_transformation_mode="asymmetric"
    ),
    "resize nearest halves down": resize("nearest", (3, 14), nearest_mode="round_prefer_floor"),
    "resize nearest halves up": resize("nearest", (3, 14), nearest_mode="round_prefer_ceil"),
    "resize nearest corners": resize(
        "nearest", (11, 3), nearest_mode="round_prefer_ceil",
        coordinate_transformation_mode="align_corners",
    ),
    "resize linear asymmetric": resize(
        "linear", (9, 4), coordinate_transformation_mode="asymmetric"
    ),
    "resize linear torch": resize(
        "linear", (1, 9), coordinate_transformation_mode="pytorch_half_pixel"
    ),
    "resize cubic": resize("cubic", (9, 4), cubic_coeff_a=-0.5),
    "resize cubic inside": resize("cubic", (9, 4), exclude_outside=1),
    "pool same upper": pool("MaxPool", kernel_shape=[3, 4], strides=[2, 3], auto_pad="SAME_UPPER"),
    "pool same lower": pool("MaxPool", kernel_shape=[3, 4], strides=[2, 3], auto_pad="SAME_LOWER"),
    "average asymmetric": pool(
        "AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 1, 0], count_include_pad=1
    ),
    "average asymmetric, inside": pool(
        "AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 1, 0]
    ),
    "average same": pool(
        "AveragePool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"
    ),
    "convolution same lower": Row(
        "Conv", (floats(1, 2, 8, 9),), "CONVOLUTION", (floats(4, 2, 3, 4),),
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
    ),
    "convolution asymmetric": Row(
        "Conv", (floats(1, 2, 8, 9),), "CONVOLUTION", (floats(4, 2, 3, 3), floats(4)),
        {"pads": [2, 0, 1, 3]},
    ),
    "deconvolution same upper": Row(
        "ConvTranspose", (floats(1, 2, 5, 6),), "DECONVOLUTION", (floats(2, 4, 3, 4),),
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
    "deconvolution asymmetric": Row(
        "ConvTranspose", (floats(1, 2, 5, 6),), "DECONVOLUTION", (floats(2, 4, 3, 3), floats(4)),
        {"strides": [2, 3], "pads": [1, 0, 0, 2], "output_padding": [1, 0]},
    ),
    "response": Row(
        "LRN", (floats(2, 7, 4, 3),), "LRN",
        attributes={"size": 5, "alpha": 0.9, "beta": 0.6, "bias": 1.7},
    ),
    "groups": groups(3, 21),
    "groups, scale per group": groups(3, 20),
    "instance": Row(
        "InstanceNormalization", (floats(2, 6, 5, 4),), "NORMALIZATION", (floats(6), floats(6)),
        {"epsilon": 0.1},
    ),
    "layer, two axes": Row(
        "LayerNormalization", (floats(2, 6, 5),), "NORMALIZATION", (floats(6, 5), floats(6, 5)),
        {"axis": 1, "epsilon": 0.1},
    ),
    "scan": scan(),
    "scan exclusive": scan(exclusive=1),
    "scan reverse": scan(reverse=1),
    "scan exclusive reverse": scan(exclusive=1, reverse=1),
    "pad constant": pad("constant", 0, 1, 2, 1, 0, 3),
    "pad reflect": pad("reflect", 0, 1, 2, 0, 2, 3),
    "pad edge": pad("edge", 2, 1, 0, 0, 2, 7),
    "pad wrap": pad("wrap", 0, 1, 2, 0, 2, 3),
    "pad negative": pad("constant", 0, -1, 2, 0, 0, -3),
    "one hot": Row(
        "OneHot", (places(5, 2, 3),), "ONE_HOT", (np.array(5), floats(2)), {"axis": 1}
    ),
    "gather elements": Row(
        "GatherElements", (floats(3, 4, 5), places(4, 3, 2, 5)), "GATHER", attributes={"axis": 1}
    ),
    "gather nd": Row("GatherND", (floats(4, 4, 5), places(4, 3, 2)), "GATHER"),
    "gather nd, batch": Row(
        "GatherND", (floats(3, 4, 4, 2), places(4, 3, 6, 2)), "GATHER",
        attributes={"batch_dims": 1},
    ),
    "gather from the end": Row(
        "Gather", (floats(3, 4), constant(-1, 0, -4)), "GATHER", attributes={"axis": 1}
    ),
    "scatter elements": Row(
        "ScatterElements", (floats(3, 5), np.array([[0, 4], [2, 1]]), floats(2, 2)), "SCATTER",
        attributes={"axis": 1},
    ),
    "scatter nd": Row(
        "ScatterND", (floats(4, 3, 2), np.array([[3, 0], [1, 2]]), floats(2, 2)), "SCATTER"
    ),
    "slice backwards": Row(
        "Slice", (floats(6, 7),), "SLICE",
        (constant(5, -1), constant(-100, 1), constant(0, 1), constant(-2, -3)),
    ),
    "quantize": Row(
        "QuantizeLinear", (floats(3, 4, scale=3),), "QUANTIZE",
        (np.array(0.02, np.float32), np.array(0, np.int8)), types=(INT8,),
    ),
    "quantize per channel": Row(
        "QuantizeLinear", (floats(3, 4, 2),), "QUANTIZE",
        (np.abs(floats(4)) / 50 + 0.01, np.zeros(4, np.int8)), {"axis": 1}, types=(INT8,),
    ),
    "dequantize per channel": Row(
        "DequantizeLinear", (RNG.integers(-128, 127, (3, 4)).astype(np.int8),), "DEQUANTIZE",
        (np.abs(floats(4)), np.zeros(4, np.int8)), {"axis": 1},
    ),
    "reverse sequence": Row(
        "ReverseSequence", (floats(4, 3, 2), constant(2, 4, 1)), "REVERSE_SEQUENCE",
        attributes={"batch_axis": 1, "time_axis": 0},
    ),
    "largest": Row(
        "TopK", (floats(3, 7),), "TOPK", (constant(3),), {"axis": 1}, types=(FLOAT, INT64)
    ),
    "smallest, equal ones": Row(
        "TopK", (np.array([[2, 1, 1, 3, 1.0]], np.float32),), "TOPK", (constant(4),),
        {"axis": 1, "largest": 0}, types=(FLOAT, INT64),
    ),
    "selu": activation("Selu", alpha=1.3, gamma=0.7),
    "elu": activation("Elu", alpha=0.4),
    "thresholded": activation("ThresholdedRelu", alpha=0.5),
    "hard sigmoid": activation("HardSigmoid", alpha=0.3, beta=0.4),
    "leaky": activation("LeakyRelu", alpha=0.3),
    "einsum": Row(
        "Einsum", (floats(2, 3, 4), floats(4, 5, 3)), "EINSUM",
        attributes={"equation": "bij,jki->kb"},
    ),
    "modulus": Row(
        "Mod", (places(40, 9) - 20, constant(*[3, -4, 7] * 3)), "ELEMENTWISE", types=(INT64,)
    ),
    "integer division": Row(
        "Div", (places(40, 9) - 20, constant(*[3, -4, 7] * 3)), "ELEMENTWISE", types=(INT64,)
    ),
    "range": Row(
        "Range", (), "FILL CONSTANT", (np.array(3), np.array(11), np.array(2)), types=(INT64,)
    ),
    "softmax": Row("Softmax", (floats(3, 4, 5),), "SOFTMAX", attributes={"axis": 1}),
}  # fmt: skip


def model_of(row: Row, types: Sequence[int]) -> bytes:
    """The operator alone in a model; TensorRT's parser wants to know the types of its outputs."""
    feeds = [
        helper.make_tensor_value_info(f"x{i}", helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for i, a in enumerate(row.inputs)
    ]
    constants = [
        numpy_helper.from_array(np.asarray(a, dtype=a.dtype), f"c{i}")
        for i, a in enumerate(row.constants)
        if a is not None
    ]
    names = [f.name for f in feeds]
    names += ["" if a is None else f"c{i}" for i, a in enumerate(row.constants)]
    results = [f"y{i}" for i in range(len(row.types))]
    node = helper.make_node(row.op, names, results, **row.attributes)
    outputs = [
        helper.make_tensor_value_info(name, type_, None)
        for name, type_ in zip(results, types, strict=True)
    ]
    graph = helper.make_graph([node], row.op, feeds, outputs, constants)
    opset = [helper.make_opsetid("", row.opset)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()


def reference(model: bytes, feeds: dict[str, Array]) -> list[Array]:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(model, options).run(None, feeds)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_parsed_operator_equals_onnx_runtime(row: Row) -> None:
    feeds = {f"x{i}": array for i, array in enumerate(row.inputs)}
    expectations = reference(model_of(row, row.types), feeds)
    parsed = parse_bytes(model_of(row, row.types), trt)
    interpreter = Interpreter(parsed.definition, trt)
    results = interpreter.run(feeds)
    for result, expected in zip(results.values(), expectations, strict=True):
        eager = torch.from_numpy(expected)
        assert_close(result.to(eager.dtype) if row.op == "TopK" else result, eager, row.op)
    assert set(row.kinds.split()) & set(interpreter.kinds), dict(interpreter.kinds)
