# SPDX-License-Identifier: Apache-2.0
"""Functions of single elements in layers that a DLA has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from edge_trt.network.graph import Node, Tensor
from edge_trt.network.layers import Activation, ElementWise, Resize, Unary
from edge_trt.placement.recipes.recipe import Kitchen, is_static
from edge_trt.placement.rules.pointwise import COMMUTATIVE
from edge_trt.placement.sizes import numbers


def hard_sigmoid(kitchen: Kitchen, node: Node) -> Sequence[Tensor] | None:
    """`max(0, min(1, alpha x + beta))` as a scale and a clip; HardSwish is its product with x."""
    layer = cast("Activation", node.layer)
    if layer.type != "HARD_SIGMOID" or not is_static(node):
        return None
    return [clipped(kitchen, node, kitchen.rewriter[node.inputs[0]])]


def clipped(kitchen: Kitchen, node: Node, x: Tensor) -> Tensor:
    """What a HARD_SIGMOID gives of `x`."""
    layer = cast("Activation", node.layer)
    scaled = kitchen.scale(node, x, layer.alpha, layer.beta)
    return kitchen.add(node, Activation("CLIP", 0.0, 1.0), scaled)


def negate(kitchen: Kitchen, node: Node) -> Sequence[Tensor] | None:
    """`-x` as a scale by -1."""
    if cast("Unary", node.layer).op != "NEG" or not is_static(node):
        return None
    return [kitchen.scale(node, kitchen.rewriter[node.inputs[0]], -1.0)]


def divide(kitchen: Kitchen, node: Node) -> Sequence[Tensor] | None:
    """A quotient by a constant as the product with its reciprocal."""
    layer, constant = cast("ElementWise", node.layer), node.inputs[1].data
    if layer.op != "DIV" or constant is None or not constant.all() or not is_static(node):
        return None
    reciprocal = kitchen.constant(node, 1 / constant)
    return [kitchen.add(node, ElementWise("PROD"), kitchen.rewriter[node.inputs[0]], reciprocal)]


def swap(kitchen: Kitchen, node: Node) -> Sequence[Tensor] | None:
    """The operand that is broadcast as the second one."""
    layer = cast("ElementWise", node.layer)
    if layer.op not in COMMUTATIVE:
        return None
    first, second = kitchen.rewriter.inputs(node)
    return [kitchen.add(node, layer, second, first)]


def resize(kitchen: Kitchen, node: Node) -> Sequence[Tensor] | None:
    """Factors in place of an output shape, where they are whole numbers."""
    layer = cast("Resize", node.layer)
    if layer.shape is None or not is_static(node):
        return None
    sizes = numbers(node.inputs[0])
    if any(new % old for new, old in zip(layer.shape, sizes, strict=True)):
        return None
    scales = tuple(float(n // o) for n, o in zip(layer.shape, sizes, strict=True))
    same = Resize(
        layer.resize_mode,
        scales=scales,
        coordinate_transformation=layer.coordinate_transformation,
        nearest_rounding=layer.nearest_rounding,
        selector_for_single_pixel=layer.selector_for_single_pixel,
    )
    if layer.resize_mode == "CUBIC":
        return None
    return [kitchen.add(node, same, kitchen.rewriter[node.inputs[0]])]
