# SPDX-License-Identifier: Apache-2.0
"""The ONNX form of finding keypoints, a loop over regions."""

from __future__ import annotations

from typing import Any

import onnxscript
from onnxscript import FLOAT, INT64
from onnxscript import opset18 as onnx_op  # that of the exporter, which converts it

from edge_trt.capture import torchvision_regions
from edge_trt.fallback.translations import TRANSLATIONS

op: Any = onnx_op


@onnxscript.script(default_opset=op)
def heatmap_peaks(maps: FLOAT, heights: INT64, widths: INT64) -> tuple[INT64, FLOAT]:
    """Place and value of the largest of each map, resized to the size of its region."""
    number = op.Squeeze(op.Shape(maps, start=0, end=1))
    per_region = op.Shape(maps, start=1, end=2)
    none = op.Concat(op.Constant(value_ints=[0]), per_region, axis=0)
    places = op.Cast(op.ConstantOfShape(none), to=7)
    values = op.CastLike(op.ConstantOfShape(none), maps)
    for i in range(number):
        at = op.Unsqueeze(i, [0])
        size = op.Concat(
            op.Constant(value_ints=[1]),
            per_region,
            op.Gather(heights, at),
            op.Gather(widths, at),
            axis=0,
        )
        resized = op.Resize(
            op.Gather(maps, at),
            None,
            None,
            size,
            mode="cubic",
            coordinate_transformation_mode="half_pixel",
            cubic_coeff_a=-0.75,
        )
        flat = op.Flatten(op.Squeeze(resized, [0]), axis=1)
        places = op.Concat(places, op.Unsqueeze(op.ArgMax(flat, axis=1, keepdims=0), [0]), axis=0)
        values = op.Concat(values, op.Unsqueeze(op.ReduceMax(flat, [1], keepdims=0), [0]), axis=0)
    return places, values


TRANSLATIONS[torchvision_regions.heatmap_peaks] = heatmap_peaks
