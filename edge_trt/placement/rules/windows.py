# SPDX-License-Identifier: Apache-2.0
"""Rules for pools, reductions, resizing, and layers that only move elements."""

from __future__ import annotations

from typing import cast

from edge_trt.network.graph import Node, Tensor
from edge_trt.network.layers import (
    Concatenation,
    ElementWise,
    Pooling,
    Reduce,
    Resize,
    Shuffle,
    Slice,
)
from edge_trt.placement.rule import Rule, Situation
from edge_trt.placement.rules.general import MOST_SIZE
from edge_trt.placement.rules.pointwise import SINCE_8612
from edge_trt.placement.sizes import numbers, outside

SINCE_86 = (8, 6)
NEAREST = (
    ("ASYMMETRIC", "FORMULA", "FLOOR"),
    ("HALF_PIXEL", "FORMULA", "HALF_DOWN"),
    ("HALF_PIXEL", "FORMULA", "HALF_UP"),
)
LINEAR = (("HALF_PIXEL", "FORMULA"), ("HALF_PIXEL", "UPPER"))
SHARING = (ElementWise, Concatenation, Pooling)


def _pool_dimensions(node: Node, situation: Situation) -> object:
    count = len(cast("Pooling", node.layer).window_size_nd)
    return None if count == 2 else count


def _pool_window(node: Node, situation: Situation) -> object:
    return outside(cast("Pooling", node.layer).window_size_nd, 1, 8)


def _pool_padding(node: Node, situation: Situation) -> object:
    layer = cast("Pooling", node.layer)
    return outside((*layer.pre_padding, *layer.post_padding), 0, 7)


def _pool_stride(node: Node, situation: Situation) -> object:
    return outside(cast("Pooling", node.layer).stride_nd, 1, 16)


def _exclusive(node: Node, situation: Situation) -> object:
    layer = cast("Pooling", node.layer)
    padded = any((*layer.pre_padding, *layer.post_padding))
    exclusive = layer.type == "AVERAGE" and padded and layer.average_count_excludes_padding
    return "padding is not counted" if exclusive else None


def _exclusive_old(node: Node, situation: Situation) -> object:
    return _exclusive(node, situation) if situation.tensorrt < SINCE_86 else None


def _reduction(node: Node, situation: Situation) -> object:
    op = cast("Reduce", node.layer).op
    return None if op == "MAX" and situation.tensorrt >= SINCE_8612 else op


def _reduction_axes(node: Node, situation: Situation) -> object:
    layer, rank = cast("Reduce", node.layer), node.inputs[0].rank
    fits = rank == 4 and layer.keep_dims and 0 not in layer.axes
    return None if fits else f"{layer.axes} of {rank} dimensions"


def _joined(node: Node, situation: Situation) -> object:
    axis, rank = cast("Concatenation", node.layer).axis, node.inputs[0].rank
    return None if rank == 4 and axis == 1 else f"{axis} of {rank} dimensions"


def _joined_count(node: Node, situation: Situation) -> object:
    computed = [t for t in node.inputs if not t.is_constant]
    return None if len(computed) == len(node.inputs) >= 2 else f"{len(computed)} computed inputs"


def _factors(node: Node) -> tuple[float, ...] | None:
    """Factors of a resize, also where it names a shape."""
    layer, x = cast("Resize", node.layer), node.inputs[0]
    if layer.scales is not None:
        return layer.scales
    if layer.shape is None or not x.type.is_static:
        return None
    return tuple(new / old for new, old in zip(layer.shape, numbers(x), strict=True))


def _named_shape(node: Node, situation: Situation) -> object:
    layer = cast("Resize", node.layer)
    return None if layer.scales is not None else "an output shape"


def _resize(node: Node, situation: Situation) -> object:
    layer, factors = cast("Resize", node.layer), _factors(node)
    if factors is None or len(factors) != 4 or factors[:2] != (1, 1):
        return factors
    most = {"NEAREST": 32, "LINEAR": 4}.get(layer.resize_mode, 0)
    fits = all(f == int(f) and 1 <= f <= most for f in factors[2:])
    return None if fits else f"{layer.resize_mode} x {'x'.join(f'{f:g}' for f in factors[2:])}"


def _resize_form(node: Node, situation: Situation) -> object:
    layer = cast("Resize", node.layer)
    form = (layer.coordinate_transformation, layer.selector_for_single_pixel)
    if layer.resize_mode == "NEAREST":
        fits = (*form, layer.nearest_rounding) in NEAREST
    else:
        fits = layer.resize_mode == "LINEAR" and form in LINEAR
    return None if fits else " ".join((layer.resize_mode, *form, layer.nearest_rounding))


def _slice_rank(node: Node, situation: Situation) -> object:
    layer, rank = cast("Slice", node.layer), node.inputs[0].rank
    fits = rank == 4 and 0 not in layer.axes
    return None if fits else f"axes {layer.axes} of {rank} dimensions"


def _slice_stride(node: Node, situation: Situation) -> object:
    return outside(cast("Slice", node.layer).stride, 1, 1)


def _slice_constant(node: Node, situation: Situation) -> object:
    layer = cast("Slice", node.layer)
    return None if layer.start is not None and layer.shape is not None else "computed places"


def _slice_mode(node: Node, situation: Situation) -> object:
    layer = cast("Slice", node.layer)
    fill = node.inputs[-1].data
    zero = fill is not None and not fill.any()
    fits = layer.mode in ("STRICT_BOUNDS", "WRAP") or (layer.mode == "FILL" and zero)
    return None if fits else layer.mode


def _slice_int8(node: Node, situation: Situation) -> object:
    return "int8" if situation.precision == "int8" and situation.tensorrt < SINCE_86 else None


def _shuffle_rank(node: Node, situation: Situation) -> object:
    ranks = node.inputs[0].rank, node.outputs[0].rank
    return None if ranks == (4, 4) else f"{ranks[0]} to {ranks[1]}"


def _shuffle_batch(node: Node, situation: Situation) -> object:
    layer = cast("Shuffle", node.layer)
    orders = [o for o in (layer.first_transpose, layer.second_transpose) if o is not None]
    kept = all(order[0] == 0 for order in orders)
    same = node.inputs[0].shape[:1] == node.outputs[0].shape[:1]
    return None if kept and same and len(node.inputs) == 1 else "batch"


def _shuffle(node: Node, situation: Situation) -> object:
    return "Shuffle"


def _scales(node: Node, situation: Situation) -> object:
    """Different int8 scales around a layer that can't change them."""
    if situation.precision != "int8":
        return None
    layer = node.layer
    tensors: list[Tensor] = [t for t in node.inputs if not t.is_constant]
    if isinstance(layer, ElementWise):
        if layer.op not in ("SUM", "SUB", "MAX", "MIN"):
            return None
    else:
        tensors += node.outputs
    steps = [situation.scales.get(t.name) for t in tensors]
    known = sorted({step for step in steps if step is not None})
    return " and ".join(f"{step:.4g}" for step in known) if len(known) > 1 else None


WINDOWS = (
    Rule(
        "P-DIMS", (Pooling,), "spatial dimensions", "2", "header", _pool_dimensions,
        "pool in 2-d",
    ),
    Rule(
        "P-WINDOW", (Pooling,), "window", "1..8 on both axes", "header", _pool_window,
        "pool in steps whose windows multiply to this one",
    ),
    Rule("P-PAD", (Pooling,), "padding", "0..7", "header", _pool_padding, "pad less"),
    Rule("P-STRIDE", (Pooling,), "stride", "1..16", "header", _pool_stride, "stride in two steps"),
    Rule(
        "P-COUNT", (Pooling,), "average", "padding counted before TensorRT 8.6", "docs-8",
        _exclusive_old, "use count_include_pad=True", certain=False,
    ),
    Rule(
        "P-EXCLUSIVE", (Pooling,), "average", "padding counted", "docs-8 unsure", _exclusive,
        "use count_include_pad=True", certain=False, refuses=False,
    ),
    Rule(
        "R-OP", (Reduce,), "operation", "MAX, from TensorRT 8.6.12 on", "docs-11", _reduction,
        "pool instead: a mean over H and W is an average pool", recipe="reduce",
    ),
    Rule(
        "R-AXES", (Reduce,), "axes", "of C, H, W in four dimensions, kept", "docs-11",
        _reduction_axes, "use keepdim=True",
    ),
    Rule(
        "J-AXIS", (Concatenation,), "axis", "1 of 4 dimensions", "header issues", _joined,
        "concatenate channels",
    ),
    Rule(
        "J-INPUTS", (Concatenation,), "inputs", "two or more, none constant", "header",
        _joined_count, "leave constants out of the concatenation",
    ),
    Rule(
        "Z-SHAPE", (Resize,), "result", "given by factors", "header", _named_shape,
        "use scale_factor instead of size", recipe="resize",
    ),
    Rule(
        "Z-FACTOR", (Resize,), "factors", "1, 1, and whole H and W: 1..32 nearest, 1..4 linear",
        "header", _resize, "resize by a whole number",
    ),
    Rule(
        "Z-FORM", (Resize,), "coordinates",
        "nearest: asymmetric floor or half pixel; linear: half pixel", "header", _resize_form,
        "use align_corners=False and modes nearest or bilinear",
    ),
    Rule(
        "SL-STRIDE", (Slice,), "stride", "1", "header", _slice_stride,
        "use a strided convolution in place of x[..., ::2]", recipe="strided_slice",
    ),
    Rule(
        "SL-RANK", (Slice,), "place", "axes of C, H, W in four dimensions", "header issues",
        _slice_rank, "keep four dimensions, and the batch whole",
    ),
    Rule(
        "SL-CONST", (Slice,), "start and size", "constants", "header", _slice_constant,
        "slice at fixed places",
    ),
    Rule(
        "SL-MODE", (Slice,), "mode", "within bounds, WRAP, or FILL with zero", "header",
        _slice_mode, "pad with zeros, or inside of a convolution",
    ),
    Rule(
        "SL-INT8", (Slice,), "precision", "float16 before TensorRT 8.6", "docs-8", _slice_int8,
        "update TensorRT",
    ),
    Rule(
        "SH-XAVIER", (Shuffle,), "kind", "not on the DLA of Xavier", "unsure", _shuffle,
        "leave reshapes to the GPU", certain=False, generations=(1,),
    ),
    Rule(
        "SH-RANK", (Shuffle,), "rank", "4 to 4", "header", _shuffle_rank,
        "keep four dimensions up to the head", recipe="shuffle",
    ),
    Rule(
        "SH-BATCH", (Shuffle,), "axes moved", f"C, H and W alone, each at most {MOST_SIZE}",
        "header", _shuffle_batch, "leave the batch where it is",
    ),
    Rule(
        "Q-SCALE", SHARING, "int8 scales", "one scale around it", "docs-8 dla-sw", _scales,
        "compile with --int8-scheme dense, which gives them one",
    ),
)  # fmt: skip
