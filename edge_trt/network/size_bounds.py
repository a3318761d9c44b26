# SPDX-License-Identifier: Apache-2.0
"""The range of a symbolic size, from the ranges of the names in it.

Sizes are names or expressions as PyTorch prints them: `batch`, `batch*49`, `(h//2) + 1`,
`Max(1, s0)`. The least and the largest value come from interval arithmetic, which is exact where
each name occurs once and never too narrow.
"""

from __future__ import annotations

import ast
import itertools
import operator
from collections.abc import Callable, Mapping

from edge_trt.errors import BuildError
from edge_trt.network.types import UNKNOWN, Dim
from edge_trt_runtime.manifest import Range

_Operation = Callable[[int, int], int]


def _floor_div(a: int, b: int) -> int:
    return a // b


def _modulo(a: int, b: int) -> int:
    return a % b


_OPERATORS: dict[type[ast.operator], _Operation] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: _floor_div,
    ast.Mod: _modulo,
    ast.Pow: lambda a, b: int(a**b),
}
_FUNCTIONS: dict[str, _Operation] = {
    "Max": max,
    "Min": min,
    "FloorDiv": _floor_div,
    "CleanDiv": _floor_div,
    "Mod": _modulo,
    "PythonMod": _modulo,
}


def size_range(size: Dim, ranges: Mapping[str, Range], what: str) -> Range:
    """The values a size may take.

    Args:
        size: A number, a name or an expression.
        ranges: Range of each name.
        what: The tensor it belongs to, for the error.

    Raises:
        BuildError: a name has no range, or the expression is not understood.
    """
    if isinstance(size, int):
        return Range(size, size, size)
    if size == UNKNOWN:
        raise BuildError(
            f"{what} has a size of which nothing is known",
            hint="TensorRT needs a range for every size of an input",
        )
    try:
        return _evaluate(ast.parse(size, mode="eval").body, ranges)
    except KeyError as error:
        raise BuildError(
            f"size {error.args[0]} of {what} has no range",
            hint="give one, as in edge_trt.Input(min=..., opt=..., max=...)",
        ) from None
    except (SyntaxError, ValueError, ZeroDivisionError) as error:
        raise BuildError(f"size {size!r} of {what} is not understood: {error}") from error


def _evaluate(node: ast.expr, ranges: Mapping[str, Range]) -> Range:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return Range(node.value, node.value, node.value)
    if isinstance(node, ast.Name):
        return ranges[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _evaluate(node.operand, ranges)
        return Range(-value.max, -value.opt, -value.min)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        sides = (_evaluate(side, ranges) for side in (node.left, node.right))
        return _combine(_OPERATORS[type(node.op)], *sides)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        operation = _FUNCTIONS.get(node.func.id)
        if operation is not None and node.args:
            first, *rest = (_evaluate(argument, ranges) for argument in node.args)
            for value in rest:
                first = _combine(operation, first, value)
            return first
    raise ValueError(f"no rule for {ast.unparse(node)}")


def _combine(operation: _Operation, a: Range, b: Range) -> Range:
    if operation is _modulo and (a.min // b.min != a.max // b.max or b.min != b.max):
        # No corner tells: it starts anew at each multiple, on the way from one to the next.
        return Range(min(b.min + 1, 0), a.opt % b.opt, max(b.max - 1, 0))
    corners = [operation(x, y) for x, y in itertools.product((a.min, a.max), (b.min, b.max))]
    return Range(min(corners), operation(a.opt, b.opt), max(corners))
