# SPDX-License-Identifier: Apache-2.0
"""Networks of convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_trt.network.graph import Network, Tensor
from edge_trt.network.layers import Convolution, Deconvolution
from edge_trt.network.types import DType
from tests.support.layer_networks.case import Case, values


def _convolution(
    name: str,
    kind: type[Convolution | Deconvolution],
    x: str,
    kernel: Sequence[int],
    stride: tuple[int, ...],
    pre: tuple[int, ...],
    post: tuple[int, ...],
    dilation: tuple[int, ...] | None = None,
    groups: int = 1,
    bias: bool = True,
    **case: Any,
) -> Case:
    dtype = DType(x.split("[")[0]).numpy
    maps = kernel[0] if kind is Convolution else kernel[1] * groups

    def make(net: Network, x: Tensor) -> Tensor:
        weights = [net.constant(values(kernel, dtype), "kernel")]
        weights += [net.constant(values(maps, dtype), "bias")] if bias else []
        return net.add(kind(stride, pre, post, dilation or (1,) * len(stride), groups), x, *weights)

    return Case(name, (x,), make, **case)


def on_tensors(net: Network, x: Tensor, *weights: Tensor) -> Tensor:
    return net.add(Convolution((1, 1), (0, 0), (0, 0), (1, 1)), x, *weights)


C, D = Convolution, Deconvolution
X = "float32[N, 4, 9, 9]"
CONVOLUTIONS = [
    _convolution("conv", C, X, (6, 4, 3, 3), (1, 1), (1, 1), (1, 1)),
    _convolution("conv_uneven", C, X, (6, 4, 3, 3), (2, 1), (1, 0), (0, 2), (1, 2)),
    _convolution("conv_no_bias", C, X, (6, 4, 1, 1), (2, 2), (0, 0), (0, 0), bias=False),
    _convolution("conv_groups", C, X, (8, 2, 3, 3), (1, 1), (1, 1), (1, 1), groups=2),
    _convolution("conv_depthwise", C, X, (4, 1, 3, 3), (1, 1), (1, 1), (1, 1), groups=4),
    _convolution("conv_half", C, "float16[N, 4, 9, 9]", (6, 4, 3, 3), (1, 1), (1, 1), (1, 1)),
    _convolution("conv_bfloat", C, "bfloat16[N, 4, 9, 9]", (6, 4, 3, 3), (1, 1), (1, 1), (1, 1)),
    _convolution(
        "conv_3d", C, "float32[N, 4, 5, 6, 7]", (8, 4, 3, 3, 3), (1, 2, 1), (1, 1, 0), (1, 1, 1)
    ),
    Case("conv_computed", (X, "float32[6, 4, 3, 3]", "float32[6]"), on_tensors),
    Case(
        "conv_computed_kernel",
        (X, "float32[6, 4, 3, 3]"),
        lambda net, x, k: on_tensors(net, x, k, net.constant(values(6))),
    ),
    Case(
        "conv_computed_bias",
        (X, "float32[6]"),
        lambda net, x, b: on_tensors(net, x, net.constant(values((6, 4, 3, 3))), b),
    ),
    _convolution("deconv", D, X, (4, 6, 2, 2), (2, 2), (0, 0), (0, 0)),
    _convolution("deconv_uneven", D, X, (4, 6, 3, 3), (2, 1), (1, 0), (0, 1)),
    _convolution("deconv_groups", D, X, (4, 3, 2, 2), (2, 2), (0, 0), (0, 0), groups=2, bias=False),
    _convolution("deconv_half", D, "float16[N, 4, 9, 9]", (4, 6, 2, 2), (2, 2), (0, 0), (0, 0)),
    _convolution(
        "deconv_3d", D, "float32[N, 4, 5, 6, 7]", (4, 6, 2, 2, 2), (2, 2, 2), (0, 0, 0), (0, 0, 0)
    ),
    _convolution(
        "deconv_dilated",
        D,
        X,
        (4, 6, 3, 3),
        (2, 2),
        (1, 1),
        (1, 1),
        (2, 2),
        construct_only="it has no kernel for a deconvolution with stride and dilation",
    ),
    _convolution(
        "deconv_bfloat",
        D,
        "bfloat16[N, 4, 9, 9]",
        (4, 6, 2, 2),
        (2, 2),
        (0, 0),
        (0, 0),
        construct_only="its compiler has no bfloat16 deconvolution",
    ),
]
