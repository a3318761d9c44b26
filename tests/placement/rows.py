# SPDX-License-Identifier: Apache-2.0
"""One-layer networks, and the verdict on the last layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_trt.network.graph import Network, Node, Origin, Tensor
from edge_trt.network.layer import Layer
from edge_trt.network.layers import Convolution, Deconvolution, Pooling
from edge_trt.network.types import DType, TensorType
from edge_trt.placement.rule import Situation, Verdict
from edge_trt.placement.verdicts import EveryScale, judge

F32 = DType.FLOAT32
Shape = tuple[Any, ...]


def ones(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.ones(shape, dtype)


def network(
    layer: Layer, *operands: Shape | np.ndarray, dtype: DType = F32, then: Layer | None = None
) -> Network:
    """A layer over inputs of these shapes and constants, perhaps followed by another."""
    net = Network("net", origin=Origin("backbone.0", "model.py:7", "aten.op.default"))
    tensors: list[Tensor] = []
    for operand in operands:
        if isinstance(operand, np.ndarray):
            tensors.append(net.constant(operand))
        else:
            tensors.append(net.input("x", TensorType(dtype, operand)))
    results = net.add_multi(layer, *tensors, name="layer")
    if then is not None:
        results = net.add_multi(then, results[0], name="then")
    for i, tensor in enumerate(results):
        net.mark_output(tensor, f"y{i}")
    return net


def verdict_on(net: Network, name: str = "layer", **situation: Any) -> Verdict:
    given = {"generation": 2, "tensorrt": (10, 3, 0), **situation}
    return judge(net, **given)[name]


def situation_of(net: Network, **given: Any) -> Situation:
    given = {"generation": 2, "tensorrt": (10, 3, 0), "scales": EveryScale(), **given}
    return Situation(net, users=net.users(), **given)


def node(net: Network, name: str = "layer") -> Node:
    return next(node for node in net.nodes if node.name == name)


def conv(
    stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1, dims: int = 2
) -> Convolution:
    many = [(n,) * dims for n in (stride, padding, padding, dilation)]
    return Convolution(*many, groups)  # type: ignore[arg-type]


def deconv(
    stride: int | tuple[int, int] = 2, padding: int = 0, dilation: int = 1, groups: int = 1
) -> Deconvolution:
    strides = stride if isinstance(stride, tuple) else (stride, stride)
    pads, dilations = (padding, padding), (dilation, dilation)
    return Deconvolution(strides, pads, pads, dilations, groups)


def pool(
    window: int, stride: int = 1, padding: int = 0, type: Any = "MAX", dims: int = 2
) -> Pooling:
    return Pooling(type, *((n,) * dims for n in (window, stride, padding, padding)))
