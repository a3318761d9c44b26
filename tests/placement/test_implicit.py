# SPDX-License-Identifier: Apache-2.0
"""Taking quantization out of a network: the layers of fp32 and the scales of int8 are left."""

from __future__ import annotations

import numpy as np
import pytest

from edge_trt.engines.onnx import run_network
from edge_trt.network.graph import Network
from edge_trt.network.layers import Dequantize, Quantize
from edge_trt.network.types import DType, TensorType
from edge_trt.placement.implicit import without_quantization
from tests.precision.test_int8 import quantized, residual_net


def test_the_fp32_network_and_the_scales_are_left() -> None:
    original = residual_net()
    int8 = quantized(original, dense=True)
    stripped, scales = without_quantization(int8)
    stripped.verify()
    assert [n.layer for n in stripped.nodes] == [n.layer for n in original.nodes]
    computed = {t.name for n in original.nodes for t in n.inputs if not t.is_constant}
    assert set(scales) == computed
    assert all(step > 0 for step in scales.values())


def test_weights_are_those_of_int8() -> None:
    original = residual_net()
    stripped, _ = without_quantization(quantized(original, dense=True))
    x = np.random.default_rng(1).standard_normal((2, 3, 16, 16)).astype(np.float32)
    plain, levels = (run_network(n, {"x": x})["y0"] for n in (original, stripped))
    assert 0 < np.abs(plain - levels).max() < 0.05 * np.abs(plain).max()


def test_shapes_alone_take_no_memory() -> None:
    int8 = quantized(residual_net(), dense=True)
    stripped, _ = without_quantization(int8, values=False)
    stripped.verify()
    kernels = [n.inputs[1].data for n in stripped.nodes if n.layer.kind == "Convolution"]
    assert all(data is not None and data.strides == (0, 0, 0, 0) for data in kernels)


@pytest.mark.parametrize(("scale", "kept"), [(np.float32(0.5), 0), (np.full(4, 0.5, "f4"), 3)])
def test_activations_with_several_scales_keep_their_layers(scale: np.ndarray, kept: int) -> None:
    net = Network("net")
    x = net.input("x", TensorType(DType.FLOAT32, (1, 4, 2, 2)))
    step = net.constant(np.asarray(scale))
    axis = 1 if step.rank else -1
    low = net.add(Quantize(axis), x, step)
    high = net.add(Dequantize(axis), low, step)
    net.mark_output(net.add(Quantize(axis), high, step), "y0")
    stripped, scales = without_quantization(net)
    kinds = [type(n.layer) for n in stripped.nodes]
    assert sum(kind in (Quantize, Dequantize) for kind in kinds) == kept
    assert scales == ({} if kept else {"x": 0.5})
