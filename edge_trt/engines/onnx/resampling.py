# SPDX-License-Identifier: Apache-2.0
"""Emission of resizing and grid sampling."""

from __future__ import annotations

from edge_trt.engines.onnx.dispatch import emit_layer
from edge_trt.engines.onnx.graph import Graph, Value
from edge_trt.network.graph import Tensor
from edge_trt.network.layers import GridSample, Resize
from edge_trt.network.types import DType

ROUNDING = {
    "HALF_UP": "round_prefer_ceil",
    "HALF_DOWN": "round_prefer_floor",
    "FLOOR": "floor",
    "CEIL": "ceil",
}
SAMPLING = {"FILL": "zeros", "CLAMP": "border", "REFLECT": "reflection"}


@emit_layer.register(Resize)
def _(layer: Resize, graph: Graph, x: Tensor, shape: Tensor | None = None) -> str:
    scales = None if layer.scales is None else graph.constant(layer.scales, DType.FLOAT32)
    sizes: Value | None = shape
    if shape is not None and shape.dtype is not DType.INT64:
        sizes = graph.cast(shape, DType.INT64)
    if layer.shape is not None:
        sizes = graph.constant(layer.shape)
    cubic = layer.resize_mode == "CUBIC"
    return graph.op(
        "Resize", x, None, scales, *(() if sizes is None else (sizes,)),
        mode=layer.resize_mode.lower(),
        coordinate_transformation_mode=_transformation(layer),
        nearest_mode=ROUNDING[layer.nearest_rounding] if layer.resize_mode == "NEAREST" else None,
        cubic_coeff_a=layer.cubic_coeff if cubic else None,
        exclude_outside=int(layer.exclude_outside) if cubic else None,
    )  # fmt: skip


def _transformation(layer: Resize) -> str:
    """UPPER takes the first pixel where the result has one, as ONNX's PyTorch flavour does."""
    name = layer.coordinate_transformation.lower()
    upper = layer.selector_for_single_pixel == "UPPER" and name == "half_pixel"
    return f"pytorch_{name}" if upper else name


@emit_layer.register(GridSample)
def _(layer: GridSample, graph: Graph, x: Tensor, grid: Tensor) -> str:
    return graph.op(
        "GridSample", x, grid,
        mode=layer.interpolation_mode.lower(),
        padding_mode=SAMPLING[layer.sample_mode],
        align_corners=int(layer.align_corners),
    )  # fmt: skip
