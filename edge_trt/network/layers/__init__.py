# SPDX-License-Identifier: Apache-2.0
"""Every layer kind, by family. Importing this package makes all of them known by name."""

from edge_trt.network.layers.control import IfConditional, Loop
from edge_trt.network.layers.convolution import Convolution, Deconvolution
from edge_trt.network.layers.elementwise import (
    Activation,
    Cast,
    ElementWise,
    Identity,
    ParametricReLU,
    Scale,
    Select,
    Unary,
)
from edge_trt.network.layers.index import Gather, OneHot, Scatter
from edge_trt.network.layers.matrix import Einsum, MatrixMultiply
from edge_trt.network.layers.normalization import LRN, Normalization, SoftMax
from edge_trt.network.layers.quantization import Dequantize, Quantize
from edge_trt.network.layers.reduction import Cumulative, Reduce, TopK
from edge_trt.network.layers.shape import Concatenation, Fill, Shape, Shuffle, Slice
from edge_trt.network.layers.window import GridSample, Pooling, Resize

__all__ = [
    "LRN",
    "Activation",
    "Cast",
    "Concatenation",
    "Convolution",
    "Cumulative",
    "Deconvolution",
    "Dequantize",
    "Einsum",
    "ElementWise",
    "Fill",
    "Gather",
    "GridSample",
    "Identity",
    "IfConditional",
    "Loop",
    "MatrixMultiply",
    "Normalization",
    "OneHot",
    "ParametricReLU",
    "Pooling",
    "Quantize",
    "Reduce",
    "Resize",
    "Scale",
    "Scatter",
    "Select",
    "Shape",
    "Shuffle",
    "Slice",
    "SoftMax",
    "TopK",
    "Unary",
]
