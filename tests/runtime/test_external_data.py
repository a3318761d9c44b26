# SPDX-License-Identifier: Apache-2.0
"""Finding the files that an ONNX model refers to, wherever the reference stands."""

from __future__ import annotations

import time
from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edge_trt_runtime.executors.external_data import external_files
from tests.support.bundles import node, onnx_bytes, relu_draft, spec


def stored_in(file: str) -> TensorProto:
    tensor = TensorProto(name=file, data_type=TensorProto.FLOAT, dims=[2])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="offset", value="location")
    tensor.external_data.add(key="location", value=file)
    return tensor


def test_every_place_of_a_tensor() -> None:
    inner = helper.make_graph(
        [node("Constant", "", "k", value=stored_in("in a branch"))], "b", [], []
    )
    nodes = [
        node("Constant", "", "c", value=stored_in("in a node")),
        node("If", "x", "y", then_branch=inner, else_branch=inner),
        node("Custom", "x", "z", many=[stored_in("in a list")], graphs=[inner]),
    ]
    model = onnx.ModelProto.FromString(
        onnx_bytes(nodes, [spec("x", [2])], [], [stored_in("ä/initializer")])
    )
    model.graph.sparse_initializer.add().values.CopyFrom(stored_in("sparse"))
    function = model.functions.add()
    function.node.append(node("Constant", "", "c", value=stored_in("in a function")))
    assert external_files(model.SerializeToString()) == {
        "in a node",
        "in a branch",
        "in a list",
        "ä/initializer",
        "sparse",
        "in a function",
    }


def test_no_references() -> None:
    weight = numpy_helper.from_array(np.arange(4.0, dtype=np.float32), "w")
    assert external_files(onnx_bytes([node("Neg", "w", "y")], [], [], [weight])) == set()


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(ValueError):
        assert isinstance(external_files(data), set)


@given(st.data())
def test_a_truncated_model_is_refused_or_read(data: st.DataObject) -> None:
    model = relu_draft().files["engines/cpu/main.onnx"]
    cut = model[: data.draw(st.integers(0, len(model) - 1))]
    with suppress(ValueError):
        assert external_files(cut) == set()


def test_a_big_model_takes_no_time() -> None:
    nodes = [node("Relu", f"v{i}", f"v{i + 1}") for i in range(2000)]
    model = onnx_bytes(nodes, [spec("v0", [2])], [], [stored_in("w")] * 500)
    start = time.perf_counter()
    assert external_files(model) == {"w"}
    assert time.perf_counter() - start < 1.0


def test_wire_types_that_onnx_never_uses() -> None:
    with pytest.raises(ValueError, match="wire type 3"):
        external_files(b"\x0b")
