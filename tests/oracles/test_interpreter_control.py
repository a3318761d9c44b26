# SPDX-License-Identifier: Apache-2.0
"""Loops and conditionals that NVIDIA's parser builds, executed and compared with ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx.parser
import pytest
import torch

from tests.support.compare import assert_close
from tests.support.onnx_parser import parse_bytes
from tests.support.trt_interpreter import Interpreter, UnsupportedLayerError

trt = pytest.importorskip("tensorrt_rtx")
ort = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.rtx

STEP = """(float[2] s, float[2] x) => (float[2] n, float[2] o) {
    d = Add(s, s)
    n = Add(d, x)
    o = Sub(n, s)
}"""

SCAN = """(float[2] s0, float[5, 2] xs) => (float[2] last, float[5, 2] y) {{
    last, y = Scan<num_scan_inputs = 1, body = step {step}, {directions}>(s0, xs)
}}"""

IF = """(bool c, float[2, 3] x) => (float[2, 3] y) {
    y = If<then_branch = a () => (float[2, 3] p) {
        one = Constant<value_float = 1.0>()
        q = Add(x, one)
        p = Mul(q, q)
    }, else_branch = b () => (float[2, 3] r) { r = Neg(x) }>(c)
}"""

NESTED = """(bool c, float[2, 3] x) => (float[2, 3] y) {
    y = If<then_branch = a () => (float[2, 3] p) {
        zero = Constant<value_float = 0.0>()
        total = ReduceSum<keepdims = 0>(x)
        positive = Greater(total, zero)
        p = If<then_branch = inner () => (float[2, 3] u) { u = Exp(x) },
               else_branch = other () => (float[2, 3] v) { v = Abs(x) }>(positive)
    }, else_branch = b () => (float[2, 3] r) { r = Neg(x) }>(c)
}"""


def _model(graph: str) -> bytes:
    text = f'<ir_version: 10, opset_import: ["" : 21]>\n{graph}'
    return onnx.parser.parse_model(text).SerializeToString()


def _compare(graph: str, feeds: dict[str, np.ndarray], kinds: str) -> None:
    model = _model(graph)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    expectations = ort.InferenceSession(model, options).run(None, feeds)
    parsed = parse_bytes(model, trt)
    interpreter = Interpreter(parsed.definition, trt)
    assert set(kinds.split()) <= set(interpreter.kinds)
    for result, expected in zip(interpreter.run(feeds).values(), expectations, strict=True):
        assert_close(result, torch.from_numpy(expected), graph)


def _floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("reverse_in", [0, 1])
@pytest.mark.parametrize("reverse_out", [0, 1])
def test_scan(reverse_in: int, reverse_out: int) -> None:
    directions = f"scan_input_directions = [{reverse_in}], scan_output_directions = [{reverse_out}]"
    graph = "g " + SCAN.format(step=STEP, directions=directions)
    feeds = {"s0": _floats(2), "xs": _floats(5, 2)}
    _compare(graph, feeds, "TRIP_LIMIT RECURRENCE ITERATOR LOOP_OUTPUT")


@pytest.mark.parametrize("condition", [True, False])
@pytest.mark.parametrize("graph", [IF, NESTED], ids=["one", "nested"])
@pytest.mark.parametrize("sign", [1, -1])
def test_conditional(graph: str, condition: bool, sign: int) -> None:
    feeds = {"c": np.array(condition), "x": sign * np.abs(_floats(2, 3))}
    _compare("g " + graph, feeds, "CONDITION CONDITIONAL_INPUT CONDITIONAL_OUTPUT")


def _definition() -> tuple[Any, Any]:
    builder = trt.Builder(trt.Logger(trt.Logger.INTERNAL_ERROR))
    return builder, builder.create_network(
        1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    )


def _loop(kind: Any, limit: Any) -> tuple[Any, Any]:
    """A loop that doubles its state, with the limit and the output asked for."""
    owner, definition = _definition()
    x = definition.add_input("x", trt.float32, (2,))
    go = definition.add_input("go", limit, ())
    loop = definition.add_loop()
    loop.add_trip_limit(go, trt.TripLimit.WHILE if limit == trt.bool else trt.TripLimit.COUNT)
    state = loop.add_recurrence(x)
    after = definition.add_elementwise(
        state.get_output(0), state.get_output(0), trt.ElementWiseOperation.SUM
    )
    state.set_input(1, after.get_output(0))
    last = kind == trt.LoopOutput.LAST_VALUE
    output = loop.add_loop_output((state if last else after).get_output(0), kind)
    if not last:
        output.set_input(1, definition.add_constant((), np.array(2, np.int32)).get_output(0))
    definition.mark_output(output.get_output(0))
    return definition, owner


def test_the_last_value_of_a_state_is_that_after_the_last_step() -> None:
    definition, _owner = _loop(trt.LoopOutput.LAST_VALUE, trt.int32)
    feeds = {"x": np.array([1, 3], np.float32), "go": np.array(3, np.int32)}
    (result,) = Interpreter(definition, trt).run(feeds).values()
    assert result.tolist() == [8, 24]


def test_what_is_not_known_of_loops_is_refused() -> None:
    definition, _owner = _loop(trt.LoopOutput.LAST_VALUE, trt.bool)
    with pytest.raises(UnsupportedLayerError, match="a count"):
        Interpreter(definition, trt)
    definition, _owner = _loop(trt.LoopOutput.CONCATENATE, trt.int32)
    feeds = {"x": np.array([1, 3], np.float32), "go": np.array(3, np.int32)}
    with pytest.raises(UnsupportedLayerError, match="the length is not that of 3 steps"):
        Interpreter(definition, trt).run(feeds)


def test_a_branch_that_reads_around_its_input_layers_is_refused() -> None:
    _owner, definition = _definition()
    x, go = definition.add_input("x", trt.float32, (2,)), definition.add_input("go", trt.bool, ())
    conditional = definition.add_if_conditional()
    conditional.set_condition(go)
    inside = conditional.add_input(x).get_output(0)
    wrong = definition.add_elementwise(inside, x, trt.ElementWiseOperation.SUM).get_output(0)
    definition.mark_output(conditional.add_output(wrong, inside).get_output(0))
    with pytest.raises(UnsupportedLayerError, match=r"reads \['x'\] without an input layer"):
        Interpreter(definition, trt)
