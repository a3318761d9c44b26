# SPDX-License-Identifier: Apache-2.0
"""What edge_trt has to know of our operators: TensorRT layers for one, an ONNX form for the other.

pyproject.toml names this module as an entry point, so that every build finds it.
"""

from __future__ import annotations

from typing import Any

import torch
from onnxscript import opset20 as op

import edge_trt
from starlib import ops as ops  # declares the operators

RADIUS = 3


def few_taps(radius: int) -> str | None:
    """Each tap becomes layers, so there must not be many."""
    if radius <= RADIUS:
        return None
    return f"radius {radius} would be {(2 * radius + 1) ** 2} taps: use at most {RADIUS}"


@edge_trt.converter(torch.ops.starlib.bilateral.default, when=few_taps)
def bilateral(ctx: Any, image: Any, radius: int, space: float, value: float) -> Any:
    """Shifted copies of the image, each weighted by how near it is in place and in value.

    Sizes are asked from `ctx`: they are numbers, or tensors where they are dynamic.
    """
    size = 2 * radius + 1
    height, width = ctx.size(image, 2), ctx.size(image, 3)
    total = weights = None
    padded = ctx.pad(image, {2: (radius, radius), 3: (radius, radius)}, "CLAMP")
    for dy, dx in ((dy, dx) for dy in range(size) for dx in range(size)):
        near = ctx.window(padded, [2, 3], [dy, dx], [height, width], [1, 1])
        apart = ctx.elementwise("SUB", near, image)
        spread = ctx.elementwise("PROD", ctx.elementwise("PROD", apart, apart), -0.5 / value**2)
        distance = (dy - radius) ** 2 + (dx - radius) ** 2
        exponent = ctx.elementwise("SUB", spread, 0.5 * distance / space**2)
        weight = ctx.unary("EXP", exponent)
        part = ctx.elementwise("PROD", weight, near)
        total = part if total is None else ctx.elementwise("SUM", total, part)
        weights = weight if weights is None else ctx.elementwise("SUM", weights, weight)
    return ctx.elementwise("DIV", total, weights)


@edge_trt.onnx_converter(torch.ops.starlib.peaks.default)
def peaks(image: Any, threshold: float, radius: int) -> Any:
    """TensorRT's layers have no result whose size is unknown, so ONNX Runtime runs this one."""
    kernel, pads = [2 * radius + 1] * 2, [radius] * 4
    highest, _ = op.MaxPool(image, kernel_shape=kernel, pads=pads, strides=[1, 1])
    found = op.And(op.Equal(image, highest), op.Greater(image, op.CastLike(threshold, image)))
    return op.Transpose(op.NonZero(found), perm=[1, 0])
