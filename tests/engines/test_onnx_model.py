# SPDX-License-Identifier: Apache-2.0
"""The ONNX model around the layers: names, weights outside, fusion with a bias, the runner."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest

from edge_trt.engines.onnx import OPSET, CpuRunner, ExternalData, emit, run_network
from edge_trt.network.graph import Network, Origin, Tensor
from edge_trt.network.layers import (
    Activation,
    Convolution,
    ElementWise,
    MatrixMultiply,
    Reduce,
    Shuffle,
    TopK,
)
from edge_trt.network.types import DType, TensorType
from edge_trt.network.weights import WeightStore, read_weights
from tests.support.layer_rows import ROWS, Row

F32 = DType.FLOAT32


def _conv_net(weights: np.ndarray | None = None) -> Network:
    """Convolution, ReLU, mean, product with a matrix, bias."""
    rng = np.random.default_rng(0)
    net = Network("net")
    x = net.input("image", TensorType(F32, ("batch", 3, 8, 8)))
    kernel = rng.standard_normal((16, 3, 3, 3)).astype(np.float32)
    matrix = rng.standard_normal((10, 16)).astype(np.float32) if weights is None else weights
    net.origin = Origin("conv1", "model.py:7", "aten.conv2d.default", "conv")
    layer = Convolution((1, 1), (1, 1), (1, 1), (1, 1))
    y = net.add(layer, x, net.constant(kernel, "conv1.weight"))
    net.origin = Origin("", "", "", "relu")
    y = net.add(Activation("RELU"), y)
    y = net.add(Reduce("AVG", (2, 3)), y, name="mean")
    y = net.add(
        MatrixMultiply("NONE", "TRANSPOSE"), y, net.constant(matrix, "fc.weight"), name="product"
    )
    bias = net.constant(rng.standard_normal((1, len(matrix))).astype(np.float32), "fc.bias")
    y = net.add(ElementWise("SUM"), y, bias, name="sum")
    net.mark_output(y, "scores")
    return net


def _reference(net: Network, image: np.ndarray) -> np.ndarray:
    weights = {t.name: t.data for t in net.constants() if t.data is not None}
    padded = np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    y = np.einsum("nchwij,kcij->nkhw", windows, weights["conv1.weight"])
    return np.maximum(y, 0).mean((2, 3)) @ weights["fc.weight"].T + weights["fc.bias"]


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)


def test_names_types_and_origins_are_kept() -> None:
    model = emit(_conv_net())
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    (given,), (result,) = model.graph.input, model.graph.output
    assert (given.name, result.name) == ("image", "scores")
    dims = given.type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == ["batch", 3, 8, 8]
    nodes = {n.name: n for n in model.graph.node}
    assert nodes["conv"].op_type == "Conv"
    assert list(nodes["conv"].output) == ["conv"]
    assert nodes["conv"].doc_string == "aten.conv2d.default, module conv1, model.py:7"
    assert nodes["relu"].doc_string == ""
    assert {"conv1.weight", "fc.weight"} <= {i.name for i in model.graph.initializer}


def test_weights_lie_in_a_safetensors_file(tmp_path: Path, image: np.ndarray) -> None:
    net = _conv_net()
    store = WeightStore()
    for tensor in net.constants():
        assert tensor.data is not None
        store.add(tensor.data, tensor.name)
    store.write(tmp_path / "weights.safetensors")

    def locate(tensor: Tensor) -> ExternalData:
        assert tensor.data is not None
        extent = store.extent(store.add(tensor.data, tensor.name))
        return ExternalData("weights.safetensors", extent.offset, extent.length)

    model = emit(net, locate)
    stored = {i.name: bool(i.external_data) for i in model.graph.initializer}
    assert stored["conv1.weight"]
    assert not stored["fc.weight"], "640 bytes belong into the model"
    assert model.ByteSize() < 3000
    options: Any = onnxruntime.SessionOptions()
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(tmp_path)
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    (found,) = session.run(["scores"], {"image": image})
    np.testing.assert_allclose(found, _reference(net, image), rtol=1e-4, atol=1e-4)


def test_runner_does_not_copy_weights() -> None:
    big = np.ones((1 << 19, 16), np.float32)
    net = _conv_net(big)
    tracemalloc.start()
    try:
        CpuRunner(net, threads=1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The bias of 2 MB is a constant like any other and is not copied either.
    assert peak < big.nbytes / 50


@pytest.mark.parametrize("replaced", [False, True])
def test_runner_reads_mapped_weights_from_their_own_file(
    replaced: bool, tmp_path: Path, image: np.ndarray
) -> None:
    net, store, path = _conv_net(), WeightStore(), tmp_path / "weights"
    for tensor in net.constants():
        assert tensor.data is not None
        store.add(tensor.data, tensor.name)
    store.write(path)
    expected, mapped = _reference(net, image), read_weights(path)
    for tensor in net.constants():
        tensor.data = mapped[tensor.name]
    if replaced:
        other = WeightStore()
        for name, array in mapped.items():
            other.add(np.zeros_like(array), name)
        other.write(tmp_path / "other")
        (tmp_path / "other").replace(path)
    found = CpuRunner(net, threads=1).run({"image": image})["scores"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="counts pages as Linux does")
def test_runner_keeps_no_weights_that_it_has_arranged_anew(tmp_path: Path) -> None:
    def mapped_kilobytes() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssFile"))

    net, store = Network("net"), WeightStore()
    x = net.input("x", TensorType(F32, (1, 512, 4, 4)))
    kernel = net.constant(np.ones((512, 512, 3, 3), np.float32), "w")
    net.mark_output(net.add(Convolution((1, 1), (1, 1), (1, 1), (1, 1)), x, kernel), "y")
    assert kernel.data is not None
    store.add(kernel.data, "w")
    store.write(tmp_path / "weights")
    kernel.data = read_weights(tmp_path / "weights")["w"]
    before = mapped_kilobytes()
    runner = CpuRunner(net, threads=1)
    assert mapped_kilobytes() - before < kernel.data.nbytes / 1000 / 2
    found = runner.run({"x": np.ones((1, 512, 4, 4), np.float32)})["y"]
    assert found.max() == 9 * 512


def test_runner_takes_any_order_of_memory(image: np.ndarray) -> None:
    matrix = np.asfortranarray(
        np.random.default_rng(2).standard_normal((40, 16)).astype(np.float32)
    )
    net = _conv_net(matrix)
    strided = np.ascontiguousarray(image.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    found = run_network(net, {"image": strided})["scores"]
    np.testing.assert_allclose(found, _reference(net, image), rtol=1e-4, atol=1e-4)


def test_other_outputs(image: np.ndarray) -> None:
    net = _conv_net()
    names = ["relu", "product", "image", "conv1.weight", "scores"]
    found = run_network(net, {"image": image}, outputs=names)
    assert set(found) == set(names)
    assert found["relu"].min() == 0
    np.testing.assert_array_equal(found["image"], image)
    bias = {t.name: t.data for t in net.constants()}["fc.bias"]
    np.testing.assert_allclose(found["product"] + bias, found["scores"], rtol=1e-5, atol=1e-5)
    with pytest.raises(KeyError):
        run_network(net, {"image": image}, outputs=["nowhere"])
    with pytest.raises(KeyError):
        run_network(net, {})


def test_outputs_without_any_layer() -> None:
    net = Network("net")
    net.input("x", TensorType(F32, (2,)))
    array = np.float32([1, 2])
    assert run_network(net, {"x": array}, outputs=["x"])["x"] is array


def _operators(net: Network) -> list[str]:
    return [n.op_type for n in emit(net).graph.node]


def test_product_and_bias_become_one_operator() -> None:
    assert _operators(_conv_net()) == ["Conv", "Relu", "ReduceMean", "Gemm"]


def _linear(rank: int, bias_shape: tuple[int, ...], *, op: Any = "SUM", swap: bool = False,
            seen: bool = False, batch: Any = 2) -> Network:  # fmt: skip
    net = Network("net")
    x = net.input("x", TensorType(F32, (batch, *[3] * (rank - 2), 4)))
    matrix = np.arange(20, dtype=np.float32).reshape(*[1] * (rank - 2), 5, 4)
    product = net.add(MatrixMultiply("NONE", "TRANSPOSE"), x, net.constant(matrix))
    size = int(np.prod(bias_shape))
    bias = net.constant(np.arange(size, dtype=np.float32).reshape(bias_shape) + 1)
    operands = (bias, product) if swap else (product, bias)
    net.mark_output(net.add(ElementWise(op), *operands), "y")
    if seen:
        net.mark_output(product, "product")
    return net


@pytest.mark.parametrize(
    ("net", "fused"),
    [
        (_linear(2, (1, 5)), True),
        (_linear(2, (1, 5), swap=True), True),
        (_linear(3, (1, 1, 5)), True),
        (_linear(3, (1, 1, 5), batch="n"), True),
        (_linear(4, (1, 1, 1, 5)), True),
        (_linear(2, (2, 5)), False),
        (_linear(2, (1, 1)), False),
        (_linear(3, (1, 3, 5)), False),
        (_linear(2, (1, 5), op="PROD"), False),
        (_linear(2, (1, 5), op="SUB"), False),
        (_linear(2, (1, 5), seen=True), False),
    ],
    ids=str,
)
def test_bias_is_fused_where_it_is_one(net: Network, fused: bool) -> None:
    assert {"Add", "Mul", "Sub"}.isdisjoint(_operators(net)) == fused
    shape = [2 if isinstance(d, str) else d for d in net.inputs[0].shape]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    first, second = (t for node in net.nodes for t in node.inputs if t.data is not None)
    assert first.data is not None
    product = x @ first.data.swapaxes(-1, -2)
    layer = net.nodes[-1].layer
    assert isinstance(layer, ElementWise)
    combine = {"SUM": np.add, "PROD": np.multiply, "SUB": np.subtract}[layer.op]
    np.testing.assert_allclose(
        run_network(net, {"x": x})["y"], combine(product, second.data), rtol=1e-5
    )


def test_a_constant_is_stored_once() -> None:
    net = Network("net")
    x = net.input("x", TensorType(F32, (2, 600)))
    shared = net.constant(np.ones((1, 600), np.float32), "shared")
    y = net.add(ElementWise("SUM"), net.add(ElementWise("PROD"), x, shared), shared)
    net.mark_output(y, "y")
    assert [i.name for i in emit(net).graph.initializer] == ["shared"]


def test_results_that_are_inputs_get_their_own_name() -> None:
    net = Network("net")
    x = net.input("x", TensorType(F32, (2, 3)))
    net.mark_output(net.add(Shuffle(), x), "y")
    model = emit(net)
    onnx.checker.check_model(model, full_check=True)
    assert [n.op_type for n in model.graph.node] == ["Identity"]


def test_bfloat16_goes_in_and_out() -> None:
    net = Network("net")
    x = net.input("x", TensorType(DType.BFLOAT16, (2, 600)))
    weights = np.random.default_rng(0).standard_normal((1, 600)).astype(ml_dtypes.bfloat16)
    y = net.add(ElementWise("PROD"), x, net.constant(weights))
    values, indices = net.add_multi(TopK("MAX", 2, 1), y)
    net.mark_output(values, "values")
    net.mark_output(indices, "indices")
    given = np.random.default_rng(1).standard_normal((2, 600)).astype(ml_dtypes.bfloat16)
    found = run_network(net, {"x": given})
    product = (given.astype(np.float32) * weights.astype(np.float32)).astype(ml_dtypes.bfloat16)
    expected = np.sort(product.astype(np.float32))[:, :-3:-1]
    assert found["values"].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(found["values"].astype(np.float32), expected)


@pytest.mark.parametrize("row", ROWS[::4], ids=lambda row: row.name)
def test_models_are_valid_onnx(row: Row) -> None:
    model = emit(row.network(symbolic=row.symbolic))
    onnx.checker.check_model(model)
    names = [n.name for n in model.graph.node]
    assert len(set(names)) == len(names)
