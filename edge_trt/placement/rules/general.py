# SPDX-License-Identifier: Apache-2.0
"""Rules for every layer: types, sizes, and what no DLA runs."""

from __future__ import annotations

from edge_trt.network.graph import Node
from edge_trt.network.layer import Layer
from edge_trt.network.layers import (
    Cast,
    Cumulative,
    Dequantize,
    Einsum,
    ElementWise,
    Fill,
    Gather,
    GridSample,
    IfConditional,
    Loop,
    Normalization,
    OneHot,
    Quantize,
    Scatter,
    Select,
    Shape,
    TopK,
)
from edge_trt.network.layers.elementwise import COMPARISON
from edge_trt.network.types import DType
from edge_trt.placement.rule import Rule, Situation
from edge_trt.placement.sizes import batch, data, numbers, static

MOST_BATCH = 4096
MOST_SIZE = 8192


def _type(node: Node, situation: Situation) -> object:
    if isinstance(node.layer, Cast):
        return None  # it has two types, and rules of its own
    compares = isinstance(node.layer, ElementWise) and node.layer.op in COMPARISON
    tensors = [t for t in data(node) if not (compares and t.dtype is DType.BOOL)]
    # In an int8 network float32 stands for what is int8, or fp16, on the device.
    wide = situation.precision == "int8"
    fits = (DType.FLOAT16, DType.FLOAT32) if wide else (DType.FLOAT16,)
    return next((t.dtype.value for t in tensors if t.dtype not in fits), None)


def _batch(node: Node, situation: Situation) -> object:
    sizes = [batch(t) for t in data(node) if static(t)]
    return next((n for n in sizes if n > MOST_BATCH), None)


def _size(node: Node, situation: Situation) -> object:
    # Tensors of fewer dimensions are refused by rules with a remedy of their own.
    sizes = [max(numbers(t)[-3:]) for t in data(node) if static(t) and t.rank > 3]
    return next((n for n in sizes if n > MOST_SIZE), None)


def _open(node: Node, situation: Situation) -> object:
    shapes = (t.shape for t in data(node) if not static(t))
    return next((f"[{', '.join(map(str, shape))}]" for shape in shapes), None)


def _edge(node: Node, situation: Situation) -> object:
    """The two types of a cast that reads an input of the network or makes an output."""
    before, after = node.inputs[0], node.outputs[0]
    if before.producer is not None and all(after is not t for t in situation.network.outputs):
        return None
    return f"{before.dtype.value} to {after.dtype.value}"


def _never(node: Node, situation: Situation) -> object:
    return node.layer.kind


def _never_rule(number: str, kinds: tuple[type[Layer], ...], what: str, fix: str) -> Rule:
    return Rule(
        f"G9-{number}", kinds, "kind", f"no {what}", "dla-sw", _never, fix
    )  # fmt: skip


EVERY = (
    Rule(
        "G4", (), "shape", "sizes that are numbers (profile with min = opt = max)",
        "header docs-11", _open, "give --input without a range",
    ),
    Rule(
        "G1", (), "type", "int8 or float16", "docs-8 docs-11", _type,
        "keep integers, booleans and what stays float32 (--fp32-layers) out of the backbone",
    ),
    Rule(
        "G2", (), "batch (all sizes left of C, H, W)", f"at most {MOST_BATCH}", "docs-11", _batch,
        "use a smaller batch",
    ),
    Rule(
        "G3", (), "size of C, H or W", f"at most {MOST_SIZE}", "docs-11", _size,
        "split the tensor",
    ),
)  # fmt: skip
"""What holds for every kind, asked first and in this order."""

NEVER = (
    _never_rule(
        "control", (Loop, IfConditional), "loops and conditionals",
        "keep recurrent parts and branches behind the backbone, where the GPU runs them",
    ),
    _never_rule(
        "index", (Gather, Scatter, OneHot, TopK), "indexing, TopK or NMS",
        "cut the model before this head, so that the GPU runs the head once",
    ),
    _never_rule(
        "shape", (Shape, Fill), "sizes that are computed", "give --input without a range",
    ),
    _never_rule(
        "select", (Select,), "selection by a condition",
        "multiply by a mask of zeros and ones instead of torch.where",
    ),
    _never_rule(
        "attention", (Einsum,), "attention or Einstein sums",
        "use convolutions in the backbone, or leave this part to the GPU",
    ),
    _never_rule(
        "normalization", (Normalization,), "layer, group or instance normalization",
        "train with batch normalization, which folds into the convolution before it",
    ),
    _never_rule("scan", (Cumulative,), "running sums", "leave this part to the GPU"),
    _never_rule("sampling", (GridSample,), "sampling on a grid", "leave this part to the GPU"),
    Rule(
        "G11", (Quantize, Dequantize), "explicit quantization",
        "one symmetric scale for a tensor, which becomes a dynamic range", "docs-8 docs-11",
        _never, "quantize activations with one scale for each tensor",
    ),
    Rule(
        "X-EDGE", (Cast,), "types", "no cast: this one stands at an input or output", "docs-11",
        _edge, "nothing to do: types of inputs and outputs are changed outside of the DLA",
    ),
    Rule(
        "X-CAST", (Cast,), "kind", "none inside of a loadable: casts stand at its borders",
        "docs-11", _never, "compute the whole backbone in one type",
    ),
)  # fmt: skip
