# SPDX-License-Identifier: Apache-2.0
"""How each layer kind is added to a TensorRT network, by family. Importing it registers them."""

from edge_trt.engines.tensorrt.layers import (
    control,
    convolution,
    elementwise,
    index,
    matrix,
    normalization,
    quantization,
    reduction,
    shape,
    window,
)

__all__ = [
    "control",
    "convolution",
    "elementwise",
    "index",
    "matrix",
    "normalization",
    "quantization",
    "reduction",
    "shape",
    "window",
]
