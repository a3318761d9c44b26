# SPDX-License-Identifier: Apache-2.0
"""Operands of complex operators, as pairs and as parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from edge_trt.lowering.edit import add_constant, aten, insert, module_path, tensor
from edge_trt.lowering.shapes import same_shape, size_arguments

Number = (bool, int, float, complex)
Parts = tuple[Any, Any]
"""Real and imaginary part, each a node or a number."""


class Pairs:
    """The pairs that are known so far, and the calls that make more of them."""

    def __init__(self, gm: fx.GraphModule) -> None:
        self.gm = gm
        self.of: dict[fx.Node, fx.Node] = {}
        """Complex value -> its pairs."""

    def reads(self, node: fx.Node) -> bool:
        """Whether a call reads a complex value that has pairs."""
        return any(source in self.of for source in node.all_input_nodes)

    def call(self, before: fx.Node, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """Insert a call, with the origin of the one that it is a part of."""
        return insert(self.gm, before, target, args, kwargs)

    def pair(self, operand: Any, before: fx.Node) -> fx.Node | None:
        """An operand as pairs: numbers and real tensors have 0 as their imaginary part."""
        if operand in self.of:
            return self.of[operand]
        if isinstance(operand, Number):
            number = complex(operand)
            data = torch.tensor([number.real, number.imag], dtype=torch.float32)
            name = f"{module_path(before)}.{before.name}.number".lstrip(".")
            return add_constant(self.gm, before, data, name)
        real = self._real(operand, before)
        if real is None:
            return None
        # no padding: torch fixes symbolic sizes when it infers the shape of a padded tensor
        sizes = size_arguments(self.gm, _shape(real), (real,), before)
        zeros = self.call(before, aten.full.default, sizes, 0.0, dtype=torch.float32)
        return self.call(before, aten.stack.default, [real, zeros], len(_shape(real)))

    def parts(self, operand: Any, before: fx.Node) -> Parts | None:
        """An operand as real and imaginary part."""
        if operand in self.of:
            return self.part(operand, 0, before), self.part(operand, 1, before)
        if isinstance(operand, Number):
            return complex(operand).real, complex(operand).imag
        real = self._real(operand, before)
        return None if real is None else (real, 0.0)

    def part(self, operand: fx.Node, index: int, before: fx.Node) -> fx.Node:
        """The real (0) or imaginary (1) part of a complex value that has pairs."""
        pair = self.of[operand]
        return self.call(before, aten.select.int, pair, len(_shape(pair)) - 1, index)

    def join(self, real: fx.Node, imaginary: fx.Node, before: fx.Node) -> fx.Node | None:
        """Two parts as pairs; each is expanded to the shape of the result."""
        shape, expanded = _shape(before), []
        for part in (real, imaginary):
            if same_shape(_shape(part), shape):
                expanded.append(part)
                continue
            sizes = size_arguments(self.gm, shape, (real, imaginary), before)
            if sizes is None or -1 in sizes:
                return None
            expanded.append(self.call(before, aten.expand.default, part, sizes))
        return self.call(before, aten.stack.default, expanded, len(shape))

    def _real(self, operand: Any, before: fx.Node) -> fx.Node | None:
        found = tensor(operand)
        if found is None or found.is_complex() or not isinstance(operand, fx.Node):
            return None
        if found.dtype is torch.float32:
            return operand
        return self.call(before, aten._to_copy.default, operand, dtype=torch.float32)


Rule = Callable[[Pairs, fx.Node], "fx.Node | None"]
"""Yields the pairs of a complex result, or a real result; None where it has no such form."""


def _shape(node: fx.Node) -> torch.Size:
    found = tensor(node)
    assert found is not None
    return found.shape
