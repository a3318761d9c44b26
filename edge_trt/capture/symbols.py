# SPDX-License-Identifier: Apache-2.0
"""Symbolic sizes: the symbols of an exported program, and the names that people know them by.

A dimension keeps the name its ``Input`` gives it. One without a name is called ``batch`` when it is
dimension 0 of an input and the only symbol of the program, else ``<input>_dim<index>`` after the
first input that has it.

A dimension that is a multiple of a symbol, such as ``32*_h`` where a model halves its image five
times, is itself what has a name and a range; the symbol is then written ``(height//32)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_trt.capture.axes import Axis
from edge_trt.errors import CaptureError, OptionError
from edge_trt_runtime.manifest import Range

if TYPE_CHECKING:
    import sympy
    import torch
    from torch.export import ExportedProgram

_UNBOUNDED = 1 << 40
"""Sizes that export writes where nobody gave a limit are beyond this."""


@dataclass(frozen=True)
class Symbols:
    """Names and ranges of a program's symbolic sizes.

    Attributes:
        names: Name by symbol, or an expression of a name.
        dims: Range by name.
        sizes: Name by the expression that it stands for: a symbol, or a multiple of one.
    """

    names: Mapping[sympy.Symbol, str]
    dims: dict[str, Range]
    sizes: Mapping[sympy.Expr, str]

    def size(self, size: int | torch.SymInt) -> int | str:
        """Return a size as the manifest writes it: number, name, expression, or ``"?"``."""
        if isinstance(size, int):
            return size
        expression = size.node.expr
        if expression.is_Integer:
            return int(expression)
        if expression in self.sizes:
            return self.sizes[expression]
        if not expression.free_symbols <= self.names.keys():
            return "?"  # it depends on values, such as the number of non-zeros
        import sympy

        known = {symbol: sympy.Symbol(name) for symbol, name in self.names.items()}
        return str(expression.xreplace(known))

    def optimum(self, size: int | torch.SymInt) -> int:
        """Return a size at the ``opt`` of every dimension."""
        return self.at(size, {name: dim.opt for name, dim in self.dims.items()})

    def at(self, size: int | torch.SymInt, sizes: Mapping[str, int]) -> int:
        """Return a size where each dimension that it depends on has the given one."""
        if isinstance(size, int):
            return size
        values = {
            symbol: sizes[name] // self.dims[name].step
            for expression, name in self.sizes.items()
            if name in sizes
            for symbol in expression.free_symbols
        }
        return int(size.node.expr.xreplace(values))

    def names_in(self, size: int | torch.SymInt) -> list[str]:
        """Return the dimensions that a size depends on."""
        symbols = set() if isinstance(size, int) else size.node.expr.free_symbols
        return [name for of, name in self.sizes.items() if of.free_symbols & symbols]

    def shape(self, shape: Sequence[int | torch.SymInt]) -> list[int | str]:
        """Return a shape as the manifest writes it."""
        return [self.size(size) for size in shape]


@dataclass(frozen=True)
class InputShape:
    """The shape of an input in a program, with what its user said about it."""

    name: str
    shape: Sequence[int | torch.SymInt]
    axes: Mapping[int, Axis]
    example: Sequence[int] | None


def find_symbols(program: ExportedProgram, inputs: Sequence[InputShape]) -> Symbols:
    """Name every symbol in the inputs and find its range.

    Raises:
        CaptureError: When a size has no upper limit.
        OptionError: When an ``Input`` asks for sizes that the program does not take.
    """
    found = _symbols_in(inputs)
    names: dict[sympy.Symbol, str] = {}
    dims: dict[str, Range] = {}
    sizes: dict[sympy.Expr, str] = {}
    for symbol, places in found.items():
        where, index, step = places[0]
        asked = [axis for place in places if (axis := _axis(place, step)) is not None]
        named = [axis.name for axis in asked if axis.name]
        name = named[0] if named else _name(where, index, step, len(found))
        while name in dims:
            name += "_"
        step = step or 1
        names[symbol] = name if step == 1 else f"({name}//{step})"
        sizes[step * symbol] = name
        hint = where.example[index] if where.example and places[0][2] else None
        dims[name] = _range(program, symbol, step, name, asked, hint)
    return Symbols(names, dims, sizes)


_Place = tuple[InputShape, int, int]
"""An input, a dimension, and what the dimension is as a multiple of the symbol, 0 for none."""


def _axis(place: _Place, step: int) -> Axis | None:
    """Return the range that was asked for at a place that is ``step`` times the symbol."""
    where, index, times = place
    return where.axes.get(index) if times and times == step else None


def _symbols_in(inputs: Sequence[InputShape]) -> dict[sympy.Symbol, list[_Place]]:
    """Return the places of each symbol; the least multiples come first, then expressions."""
    places: dict[Any, list[_Place]] = {}
    for given in inputs:
        for index, size in enumerate(given.shape):
            expression = None if isinstance(size, int) else size.node.expr
            for symbol in sorted(getattr(expression, "free_symbols", ()), key=str):
                times = expression / symbol
                step = int(times) if times.is_Integer and times > 0 else 0
                places.setdefault(symbol, []).append((given, index, step))
    return {
        symbol: sorted(found, key=lambda p: p[2] or _UNBOUNDED) for symbol, found in places.items()
    }


def _name(where: InputShape, index: int, step: int, count: int) -> str:
    """Return a name for a dimension that nobody named."""
    if not step:
        return f"{where.name}_dim{index}_base"  # the dimension itself is an expression of it
    return "batch" if count == 1 and index == 0 else f"{where.name}_dim{index}"


def _range(
    program: ExportedProgram,
    symbol: sympy.Symbol,
    step: int,
    name: str,
    asked: Sequence[Axis],
    hint: int | None,
) -> Range:
    """Return the range of a size: what its user asked for, within what the program takes."""
    # Of a multiple, export leaves out the multiples by 0 and 1 where it writes the symbol alone.
    whole = program.range_constraints.get(step * symbol)  # type: ignore[call-overload]
    limits = whole or program.range_constraints.get(symbol)
    times = 1 if whole else step
    low = max(int(limits.lower), 0) * times if limits is not None else 0
    high = int(limits.upper) * times if limits is not None and limits.upper < _UNBOUNDED else None
    ranges = {(axis.min, axis.opt, axis.max): axis for axis in asked}
    if len(ranges) > 1:
        texts = " and ".join(str(axis) for axis in ranges.values())
        raise OptionError(
            f"{name!r} is one size in the program, and is asked to be {texts}",
            hint="give one range",
        )
    for axis in ranges.values():
        inside = axis.in_steps(step)
        if inside is None or inside.min < low or (high is not None and inside.max > high):
            multiples = f" in multiples of {step}" if step > 1 else ""
            raise OptionError(
                f"{name!r} is asked to be {axis.min}..{axis.max}, but the program takes "
                f"{low}..{'any' if high is None else high}{multiples}",
                hint="give a range inside, or export the program with a wider one",
            )
        return Range(inside.min, inside.opt, inside.max, step)
    if high is None:
        raise CaptureError(
            f"the program sets no upper limit for the dimension {name!r}",
            hint=f"export it with Dim({name!r}, max=...), or give an Input with a range",
        )
    opt = high if hint is None else hint
    return Range(low, min(max(opt - opt % step, low), high), high, step)
