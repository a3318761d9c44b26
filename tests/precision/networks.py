# SPDX-License-Identifier: Apache-2.0
"""Small networks that the precision tests rewrite."""

from __future__ import annotations

import numpy as np

from edge_trt.network.builder import Builder
from edge_trt.network.graph import Network, Origin, Tensor
from edge_trt.network.layers import Convolution, MatrixMultiply, Normalization, SoftMax
from edge_trt.network.types import Dim, DType, TensorType

F32 = DType.FLOAT32


class Net(Builder):
    """A builder with float32 inputs and random weights."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(Network("net"))
        self.rng = np.random.default_rng(seed)

    def input(self, *shape: Dim, dtype: DType = F32, name: str = "x") -> Tensor:
        return self.network.input(name, TensorType(dtype, shape))

    def at(self, module: str) -> None:
        """Layers from now on come from this module."""
        self.network.origin = Origin(module, "model.py:1", "aten.op.default")

    def weight(self, *shape: int, scale: float = 1.0, name: str = "weight") -> Tensor:
        array = self.rng.standard_normal(shape) * scale
        return self.network.constant(array.astype(np.float32), name)

    def conv(self, x: Tensor, maps: int) -> Tensor:
        channels = x.shape[1]
        assert isinstance(channels, int)
        kernel = self.weight(maps, channels, 3, 3, scale=(9 * channels) ** -0.5)
        layer = Convolution((1, 1), (1, 1), (1, 1), (1, 1))
        return self.network.add(layer, x, kernel, self.weight(maps, scale=0.1))

    def linear(self, x: Tensor, maps: int) -> Tensor:
        size = x.shape[-1]
        assert isinstance(size, int)
        ones = (1,) * (x.rank - 2)
        matrix = self.weight(*ones, maps, size, scale=size**-0.5)
        product = self.network.add(MatrixMultiply("NONE", "TRANSPOSE"), x, matrix)
        return self.elementwise("SUM", product, self.weight(*ones, 1, maps, scale=0.1))

    def layer_norm(self, x: Tensor) -> Tensor:
        size = x.shape[-1]
        assert isinstance(size, int)
        ones = (1,) * (x.rank - 1)
        scale, bias = self.weight(*ones, size), self.weight(*ones, size)
        return self.network.add(Normalization((x.rank - 1,)), x, scale, bias)

    def softmax(self, x: Tensor, axis: int = -1) -> Tensor:
        return self.network.add(SoftMax(axis % x.rank), x)

    def done(self, *outputs: Tensor) -> Network:
        for i, tensor in enumerate(outputs):
            self.network.mark_output(tensor, f"y{i}")
        self.network.verify()
        return self.network


def conv_net() -> Network:
    """Two convolutions with a residual, global mean, scores."""
    net = Net()
    x = net.input("batch", 3, 8, 8)
    net.at("stem")
    a = net.activation("RELU", net.conv(x, 8))
    net.at("block")
    b = net.elementwise("SUM", net.activation("RELU", net.conv(a, 8)), a)
    net.at("head.fc")
    return net.done(net.linear(net.reduce("AVG", b, [2, 3], keep_dims=False), 5))


def attention_net() -> Network:
    """One encoder block: norm, attention over two heads, residual, norm, MLP."""
    net = Net()
    x = net.input("batch", 6, 16)
    net.at("norm1")
    y = net.layer_norm(x)
    net.at("attn")
    heads = []
    for _ in range(3):
        flat = net.linear(y, 16)
        split = net.reshape(flat, [net.size(flat, 0), 6, 2, 8])
        heads.append(net.permute(split, [0, 2, 1, 3]))
    q, k, v = heads
    scores = net.elementwise("PROD", net.matmul(q, k, transpose_b=True), 8**-0.5)
    joined = net.permute(net.matmul(net.softmax(scores), v), [0, 2, 1, 3])
    x = net.elementwise("SUM", x, net.linear(net.reshape(joined, [net.size(joined, 0), 6, 16]), 16))
    net.at("mlp")
    z = net.linear(net.activation("GELU_ERF", net.linear(net.layer_norm(x), 32)), 16)
    return net.done(net.elementwise("SUM", x, z))
