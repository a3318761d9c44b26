# SPDX-License-Identifier: Apache-2.0
"""Networks with explicit quantization."""

from __future__ import annotations

import numpy as np

from edge_trt.network.graph import Network, Tensor
from edge_trt.network.layers import Dequantize, MatrixMultiply, Quantize
from tests.support.layer_networks.case import Case, number, values
from tests.support.layer_networks.convolution import X, on_tensors


def _rounded(net: Network, x: Tensor, scale: np.ndarray, axis: int = -1) -> Tensor:
    one = net.constant(scale)
    return net.add(Dequantize(axis), net.add(Quantize(axis), x, one), one)


def _int8_weights(net: Network, shape: tuple[int, ...]) -> Tensor:
    integers = net.constant((values(shape) * 100).astype(np.int8), "weights")
    return net.add(Dequantize(0), integers, net.constant(np.full(shape[0], 0.01, np.float32)))


def _int8_convolution(net: Network, x: Tensor) -> Tensor:
    operands = _rounded(net, x, number(0.1)), _int8_weights(net, (6, 4, 3, 3))
    return on_tensors(net, *operands, net.constant(values(6)))


def _int8_product(net: Network, x: Tensor) -> Tensor:
    operands = _rounded(net, x, number(0.1)), _int8_weights(net, (6, 8))
    return net.add(MatrixMultiply("NONE", "TRANSPOSE"), *operands)


QUANTIZATION = [
    Case("quantize_tensor", (X,), lambda net, x: _rounded(net, x, number(0.1))),
    Case(
        "quantize_channel",
        (X,),
        lambda net, x: _rounded(net, x, np.full(4, 0.1, np.float32), axis=1),
    ),
    Case("quantize_half", ("float16[N, 4]",), lambda net, x: _rounded(net, x, number(0.1, "f2"))),
    Case("quantize_convolution", (X,), _int8_convolution),
    Case("quantize_product", ("float32[N, 8]",), _int8_product),
]
