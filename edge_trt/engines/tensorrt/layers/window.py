# SPDX-License-Identifier: Apache-2.0
"""Emission of pooling, resizing and grid sampling."""

from __future__ import annotations

from typing import Any

from edge_trt.engines.tensorrt.dispatch import emit_layer
from edge_trt.engines.tensorrt.emitter import Emitter
from edge_trt.network.graph import Node
from edge_trt.network.layers import GridSample, Pooling, Resize


@emit_layer.register(Pooling)
def _(layer: Pooling, emitter: Emitter, node: Node) -> Any:
    (x,) = emitter.inputs(node)
    kind = emitter.enum("PoolingType", layer.type)
    added = emitter.add("add_pooling_nd", x, kind, emitter.dims(layer.window_size_nd))
    added.stride_nd = emitter.dims(layer.stride_nd)
    added.pre_padding = emitter.dims(layer.pre_padding)
    added.post_padding = emitter.dims(layer.post_padding)
    added.padding_mode = emitter.enum("PaddingMode", layer.padding_mode)
    if layer.type == "AVERAGE":
        added.average_count_excludes_padding = layer.average_count_excludes_padding
    return added


@emit_layer.register(Resize)
def _(layer: Resize, emitter: Emitter, node: Node) -> Any:
    x, *shape = emitter.inputs(node)
    added = emitter.add("add_resize", x)
    if shape:
        added.set_input(1, shape[0])
    elif layer.shape is not None:
        added.shape = emitter.dims(layer.shape)
    else:
        added.scales = list(layer.scales or ())
    added.resize_mode = emitter.enum("InterpolationMode", layer.resize_mode)
    added.coordinate_transformation = emitter.enum(
        "ResizeCoordinateTransformation", layer.coordinate_transformation
    )
    added.selector_for_single_pixel = emitter.enum(
        "ResizeSelector", layer.selector_for_single_pixel
    )
    added.nearest_rounding = emitter.enum("ResizeRoundMode", layer.nearest_rounding)
    if layer.resize_mode == "CUBIC":
        added.cubic_coeff = layer.cubic_coeff
        added.exclude_outside = layer.exclude_outside
    return added


@emit_layer.register(GridSample)
def _(layer: GridSample, emitter: Emitter, node: Node) -> Any:
    added = emitter.add("add_grid_sample", *emitter.inputs(node))
    added.interpolation_mode = emitter.enum("InterpolationMode", layer.interpolation_mode)
    added.align_corners = layer.align_corners
    added.sample_mode = emitter.enum("SampleMode", layer.sample_mode)
    return added
