# SPDX-License-Identifier: Apache-2.0
"""Emission of convolution and deconvolution."""

from __future__ import annotations

from edge_trt.engines.onnx.dispatch import emit_layer
from edge_trt.engines.onnx.graph import Graph, Value
from edge_trt.engines.onnx.quantization import quantized_bias
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import Convolution, Deconvolution


@emit_layer.register(Convolution)
def _(
    layer: Convolution, graph: Graph, x: Tensor, kernel: Tensor, bias: Tensor | None = None
) -> str:
    return graph.op(
        "Conv", x, kernel, *_optional(graph, x, kernel, bias),
        kernel_shape=kernel.shape[2:],
        strides=layer.stride_nd,
        pads=(*layer.pre_padding, *layer.post_padding),
        dilations=layer.dilation_nd,
        group=layer.num_groups,
    )  # fmt: skip


@emit_layer.register(Deconvolution)
def _(
    layer: Deconvolution, graph: Graph, x: Tensor, kernel: Tensor, bias: Tensor | None = None
) -> str:
    return graph.op(
        "ConvTranspose", x, kernel, *(() if bias is None else (bias,)),
        kernel_shape=kernel.shape[2:],
        strides=layer.stride_nd,
        pads=(*layer.pre_padding, *layer.post_padding),
        dilations=layer.dilation_nd,
        group=layer.num_groups,
    )  # fmt: skip


def _optional(graph: Graph, x: Tensor, kernel: Tensor, bias: Tensor | None) -> tuple[Value, ...]:
    return () if bias is None else (quantized_bias(graph, x, kernel, bias),)
