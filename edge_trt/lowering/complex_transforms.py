# SPDX-License-Identifier: Apache-2.0
"""Fourier transforms over several axes, as products with matrices of cosines and sines."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from edge_trt.lowering.complex_operands import Pairs, Parts, Rule
from edge_trt.lowering.edit import add_constant, arguments, aten, module_path, tensor

LONGEST = 1024
"""Of an axis: its two matrices then take 8 MiB. Longer ones are left to a fast transform."""

EXPONENTS = {"backward": (0.0, 1.0), "ortho": (0.5, 0.5), "forward": (1.0, 0.0)}
"""Normalisation -> power of the axis' size that divides the forward and the inverse transform."""


def _transform(*, inverse: bool = False) -> Rule:
    def rule(pairs: Pairs, node: fx.Node) -> fx.Node | None:
        bound = arguments(node)
        found, parts = tensor(bound["self"]), pairs.parts(bound["self"], node)
        if found is None or parts is None or bound["s"] is not None:
            return None
        axes = range(found.dim()) if bound["dim"] is None else bound["dim"]
        axes = [axis % found.dim() for axis in axes]
        if not all(isinstance(n := found.shape[a], int) and n <= LONGEST for a in axes):
            return None
        exponent = EXPONENTS[bound["norm"] or "backward"][inverse]
        for axis in axes:
            size = int(found.shape[axis])
            matrices = _matrices(pairs, node, size, exponent, -1 if inverse else 1)
            parts = _along(pairs, node, parts, matrices, (axis, found.dim() - 1))
        return None if isinstance(parts[1], float) else pairs.join(*parts, node)

    return rule


def _matrices(pairs: Pairs, node: fx.Node, size: int, exponent: float, sign: int) -> list[fx.Node]:
    """Cosines and sines [size, size]; whole turns are dropped before the angle is rounded."""
    places = torch.arange(size)
    angles = (torch.outer(places, places) % size).double() * (2 * math.pi / size)
    scale = size**-exponent
    name = f"{module_path(node)}.{node.name}.{size}".lstrip(".")
    return [
        add_constant(pairs.gm, node, (values * scale).float(), f"{name}.{kind}")
        for kind, values in (("cosines", angles.cos()), ("sines", angles.sin() * sign))
    ]


def _along(
    pairs: Pairs, node: fx.Node, parts: Parts, matrices: list[fx.Node], axes: tuple[int, int]
) -> Parts:
    """(a + bi)(C - Si) along an axis; a real input has no b."""

    def product(part: Any, matrix: fx.Node) -> fx.Node:
        moved = pairs.call(node, aten.transpose.int, part, *axes)
        made = pairs.call(node, aten.matmul.default, moved, matrix)
        return pairs.call(node, aten.transpose.int, made, *axes)

    (a, b), (cosines, sines) = parts, matrices
    real, opposite = product(a, cosines), product(a, sines)
    if isinstance(b, float):
        return real, pairs.call(node, aten.neg.default, opposite)
    return (
        pairs.call(node, aten.add.Tensor, real, product(b, sines)),
        pairs.call(node, aten.sub.Tensor, product(b, cosines), opposite),
    )


RULES: dict[object, Rule] = {
    aten.fft_fft2.default: _transform(),
    aten.fft_fftn.default: _transform(),
    aten.fft_ifft2.default: _transform(inverse=True),
    aten.fft_ifftn.default: _transform(inverse=True),
}
