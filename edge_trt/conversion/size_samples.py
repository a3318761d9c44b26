# SPDX-License-Identifier: Apache-2.0
"""Whether two expressions of one open size may both be right, tried at some sizes.

Expressions have many spellings (`2*n` and `n + n`), so they are compared by their values.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping

import sympy
from torch.fx.experimental.symbolic_shapes import ShapeEnv

from edge_trt.conversion.size_ranges import number
from edge_trt.errors import BuildError
from edge_trt.network.size_bounds import size_range
from edge_trt.network.types import Dim
from edge_trt_runtime.manifest import Range

_STEPS = (0, 1, 3, 8, 15, 32, 63)  # from the least size of each range on, odd and even
_WIDEST = 4096

_Known = dict[str, int]


def differing(
    environment: ShapeEnv | None, here: Dim, wanted: Dim, names: Mapping[str, str]
) -> str | None:
    """Sizes at which two descriptions of a size differ, in words; empty if they seem to agree.

    None if that can't be told.

    Args:
        environment: What torch knows of symbols; without one there are only numbers.
        here: The size that a converter gives.
        wanted: The size that torch gives, as text of the network.
        names: Torch's names of symbols -> those in both texts.
    """
    if environment is None:
        return None
    symbols = {names.get(str(s), str(s)): s for s in environment.var_to_range}
    used = sorted(_names_in(here) | _names_in(wanted))
    if not all(name in symbols for name in used):  # read out of values: nobody knows
        return None
    found = {name: environment.bound_sympy(symbols[name]) for name in used}
    ranges = {n: (number(b.lower, 0), number(b.upper, math.inf)) for n, b in found.items()}
    guards = [guard.expr for guard in environment.guards]
    tried = False
    for known in _points(ranges):
        values = {symbols[name]: sympy.Integer(size) for name, size in known.items()}
        if any(guard.xreplace(values) == False for guard in guards):  # noqa: E712 (sympy's)
            continue
        one, other = _at(here, known), _at(wanted, known)
        if one is None or other is None:  # a function without a rule here
            return None
        tried = True
        if one != other:
            sizes = ", ".join(f"{name}={size}" for name, size in known.items())
            return f"{one} and {other} for {sizes}"
    return "" if tried else None


def _names_in(size: Dim) -> set[str]:
    if isinstance(size, int):
        return set()
    try:
        parsed = ast.walk(ast.parse(size, mode="eval"))
    except SyntaxError:
        return {size}
    called = [n for n in parsed if isinstance(n, (ast.Name, ast.Call))]
    functions = {id(n.func) for n in called if isinstance(n, ast.Call)}
    return {n.id for n in called if isinstance(n, ast.Name) and id(n) not in functions}


def _points(ranges: Mapping[str, tuple[float, float]]) -> Iterator[_Known]:
    """Sizes within their ranges: both ends, and such as differ from each other."""
    if not ranges:
        return
    spans = [(max(int(low), 0), int(min(high, low + _WIDEST))) for low, high in ranges.values()]
    yield dict(zip(ranges, (high for _, high in spans), strict=True))
    for first in range(len(_STEPS)):
        steps = (_STEPS[(first + place) % len(_STEPS)] for place in range(len(spans)))
        sizes = [low + step % (high - low + 1) for (low, high), step in zip(spans, steps)]  # noqa: B905
        yield dict(zip(ranges, sizes, strict=True))


def _at(size: Dim, known: _Known) -> int | None:
    ranges = {name: Range(value, value, value) for name, value in known.items()}
    try:
        return size_range(size, ranges, "").opt
    except BuildError:
        return None
