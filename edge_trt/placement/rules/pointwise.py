# SPDX-License-Identifier: Apache-2.0
"""Rules for layers that work element by element."""

from __future__ import annotations

from typing import cast

import numpy as np

from edge_trt.network.graph import Node
from edge_trt.network.layers import (
    LRN,
    Activation,
    Cast,
    ElementWise,
    Identity,
    ParametricReLU,
    Scale,
    SoftMax,
    Unary,
)
from edge_trt.network.layers.elementwise import COMPARISON
from edge_trt.placement.rule import Rule, Situation
from edge_trt.placement.sizes import elements, first, numbers

ACTIVATIONS = ("RELU", "SIGMOID", "TANH", "CLIP", "LEAKY_RELU")
ARITHMETIC = ("SUM", "SUB", "PROD", "MAX", "MIN")
SINCE_8612 = (8, 6, 12)
"""Added Div, comparisons, sine and cosine, and the maximum over an axis."""
LATER = ("DIV", "POW")
UNARY_LATER = ("SIN", "COS", "ATAN", "ATANH")
COMMUTATIVE = ("SUM", "PROD", "MAX", "MIN")
FOUR_D = (Activation, ParametricReLU, ElementWise, Scale, SoftMax, LRN, Unary, Identity)


def _rank(node: Node, situation: Situation) -> object:
    rank = first(node).rank
    return None if rank == 4 else f"{rank} dimensions"


def _activation(node: Node, situation: Situation) -> object:
    kind = cast("Activation", node.layer).type
    return None if kind in ACTIVATIONS else kind


def _clip(node: Node, situation: Situation) -> object:
    layer = cast("Activation", node.layer)
    if layer.type != "CLIP" or layer.alpha != 0:
        return None
    return None if 1 <= layer.beta <= 127 else f"{layer.alpha:g}..{layer.beta:g}"


def _clip_low(node: Node, situation: Situation) -> object:
    layer = cast("Activation", node.layer)
    return layer.alpha if layer.type == "CLIP" and layer.alpha != 0 else None


def _leaky(node: Node, situation: Situation) -> object:
    return "LEAKY_RELU" if cast("Activation", node.layer).type == "LEAKY_RELU" else None


def _slope(node: Node, situation: Situation) -> object:
    slopes = node.inputs[1]
    fits = slopes.is_constant and slopes.rank == node.inputs[0].rank
    return None if fits else "computed or of another rank"


def _operation(node: Node, situation: Situation) -> object:
    op = cast("ElementWise", node.layer).op
    later = op in LATER and situation.tensorrt >= SINCE_8612
    return None if op in (*ARITHMETIC, *COMPARISON) or later else op


def _by_constant(node: Node, situation: Situation) -> object:
    layer = cast("ElementWise", node.layer)
    return "by a constant" if layer.op == "DIV" and node.inputs[1].is_constant else None


def _later(node: Node, situation: Situation) -> object:
    op = cast("ElementWise", node.layer).op
    return op if op in LATER else None


def _comparison(node: Node, situation: Situation) -> object:
    layer = cast("ElementWise", node.layer)
    if layer.op not in COMPARISON:
        return None
    readers = situation.users.get(node.outputs[0], [])
    constants = [t.data for t in node.inputs if t.data is not None]
    uniform = all(array.size and bool(np.all(array == array.flat[0])) for array in constants)
    cast_only = len(readers) == 1 and isinstance(readers[0].layer, (Cast, Identity))
    scaled = all(t.name in situation.scales for t in node.inputs if not t.is_constant)
    recent = layer.op == "EQUAL" or situation.tensorrt >= SINCE_8612
    return None if uniform and cast_only and scaled and recent else layer.op


def _order(node: Node, situation: Situation) -> object:
    """A first operand that is broadcast, or a constant in its place."""
    a, b = node.inputs[:2]
    swapped = elements(a) < elements(b) or (a.is_constant and not b.is_constant)
    return "the first" if swapped else None


def _broadcast(node: Node, situation: Situation) -> object:
    a, b = (numbers(t) for t in node.inputs[:2])
    if len(a) != 4 or len(b) != 4 or a == b:
        return None
    n, c = a[:2]
    fits = b in ((n, c, 1, 1), (n, 1, 1, 1), (1, c, 1, 1), (1, 1, 1, 1), (1, *a[1:]))
    return None if fits else f"{list(b)} beside {list(a)}"


def _scaled(node: Node, situation: Situation) -> object:
    computed = [t.name for t in node.inputs[1:] if not t.is_constant]
    return ", ".join(computed) or None


def _unary(node: Node, situation: Situation) -> object:
    op = cast("Unary", node.layer).op
    later = op in UNARY_LATER and situation.tensorrt >= SINCE_8612
    return None if op == "ABS" or later else op


def _unary_later(node: Node, situation: Situation) -> object:
    op = cast("Unary", node.layer).op
    return op if op in UNARY_LATER else None


def _unary_int8(node: Node, situation: Situation) -> object:
    int8 = situation.precision == "int8" and node.inputs[0].name in situation.scales
    return None if int8 else "float16"


def _softmax_axis(node: Node, situation: Situation) -> object:
    axis, sizes = cast("SoftMax", node.layer).axis, numbers(node.inputs[0])
    if len(sizes) != 4:
        return None
    alone = all(size == 1 for i, size in enumerate(sizes[1:], 1) if i != axis)
    most = 8192 if alone else 1024
    return None if axis > 0 and sizes[axis] <= most else f"axis {axis} of size {sizes[axis]}"


def _softmax(node: Node, situation: Situation) -> object:
    return "SoftMax"


def _softmax_int8(node: Node, situation: Situation) -> object:
    return "int8" if situation.precision == "int8" else None


def _lrn(node: Node, situation: Situation) -> object:
    window = cast("LRN", node.layer).window_size
    return None if window in (3, 5, 7, 9) else window


POINTWISE = (
    Rule(
        "E-RANK", FOUR_D, "rank", "4 (N, C, H, W)", "header docs-11", _rank,
        "keep four dimensions: leave out flatten and squeeze before the head", recipe="linear",
    ),
    Rule(
        "A-TYPE", (Activation,), "function", ", ".join(ACTIVATIONS), "header docs-11", _activation,
        "use ReLU, or SiLU, which is a sigmoid and a product", recipe="hard_sigmoid",
    ),
    Rule(
        "A-CLIP", (Activation,), "upper end of a clip from 0", "1..127", "docs-11", _clip,
        "use ReLU6 or ReLU",
    ),
    Rule(
        "A-CLIP-LOW", (Activation,), "lower end of a clip", "0", "dla-sw unsure", _clip_low,
        "use ReLU6", certain=False, refuses=False,
    ),
    Rule(
        "A-LEAKY", (Activation,), "function", "in the list of the header", "docs-11", _leaky,
        "use ReLU", certain=False, refuses=False,
    ),
    Rule(
        "A-PRELU", (ParametricReLU,), "slopes", "constants of the rank of the input", "header",
        _slope, "make the slopes a parameter",
    ),
    Rule(
        "E-OP", (ElementWise,), "operation", ", ".join((*ARITHMETIC, *LATER, *COMPARISON)),
        "header docs-11", _operation,
        "DIV and POW are there from TensorRT 8.6.12; write and, or, not as products and sums",
    ),
    Rule(
        "E-DIV", (ElementWise,), "quotient", "a product with the reciprocal", "header",
        _by_constant, "multiply by the reciprocal", recipe="divide",
    ),
    Rule(
        "E-LATER", (ElementWise,), "operation", "in the list of the header",
        "docs-11 issues", _later, "multiply instead", certain=False, refuses=False,
    ),
    Rule(
        "E-COMPARE", (ElementWise,), "comparison",
        "of int8 tensors or uniform constants, read by one cast alone", "docs-11", _comparison,
        "compute masks behind the backbone", certain=False,
    ),
    Rule(
        "E-ORDER", (ElementWise,), "operand that is broadcast", "the second", "header", _order,
        "write the larger operand first", certain=False, recipe="swap",
    ),
    Rule(
        "E-SHAPE", (ElementWise,), "second operand",
        "[N, C, H, W], [N, C, 1, 1] or [N, 1, 1, 1]", "header unsure", _broadcast,
        "expand the operand", certain=False,
    ),
    Rule(
        "S-CONST", (Scale,), "scale and shift", "constants", "docs-11", _scaled,
        "make them parameters",
    ),
    Rule(
        "U-OP", (Unary,), "operation", ", ".join(("ABS", *UNARY_LATER)), "header docs-11", _unary,
        "SIN, COS and ATAN are there from TensorRT 8.6.12; exp, log and sqrt are for the GPU",
        recipe="negate",
    ),
    Rule(
        "U-LATER", (Unary,), "operation", "ABS", "docs-11 unsure", _unary_later,
        "leave it to the GPU", certain=False, refuses=False,
    ),
    Rule(
        "U-INT8", (Unary,), "precision", "int8", "docs-11", _unary_int8,
        "compile with --precision int8",
    ),
    Rule(
        "SM-XAVIER", (SoftMax,), "kind", "not on the DLA of Xavier", "header", _softmax,
        "leave softmax to the GPU", generations=(1,),
    ),
    Rule(
        "SM-AXIS", (SoftMax,), "axis", "C, H or W with at most 1024 (8192 if the others are 1)",
        "header", _softmax_axis, "leave softmax to the GPU",
    ),
    Rule(
        "SM-INT8", (SoftMax,), "precision", "float16", "docs-8", _softmax_int8,
        "leave softmax to the GPU", certain=False, refuses=False,
    ),
    Rule(
        "L-WINDOW", (LRN,), "window", "3, 5, 7 or 9, across channels", "header", _lrn,
        "use batch normalization",
    ),
)  # fmt: skip
