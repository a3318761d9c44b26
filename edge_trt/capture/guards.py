# SPDX-License-Identifier: Apache-2.0
"""Conditions between sizes that a program was exported with, which only its own check knows.

Where one does not hold, the model may do something else than what was exported. The program says
them as Python expressions of its inputs' sizes.
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import torch
from torch.fx.experimental.symbolic_shapes import SYMPY_INTERP

from edge_trt.capture.axes import Axis, shape_text
from edge_trt.capture.module_state import CaptureWarning
from edge_trt.capture.samples import Sizes, choices
from edge_trt.errors import CaptureError
from edge_trt.warning import warn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch.export import ExportedProgram

    from edge_trt.capture.signature import UserInput
    from edge_trt.capture.symbols import Symbols
    from edge_trt_runtime.manifest import Range

_SIZE = re.compile(r"L((?:\[[^\]]+\]|\.[A-Za-z_]\w*)+?)\.size\(\)\[(\d+)\]")
_NUMBERED = re.compile(r"\['flat_args'\]\[(\d+)\]")
_PYTHONS = {function.__name__: function for function in (abs, max, min, round)}
FUNCTIONS = {
    **SYMPY_INTERP, **_PYTHONS, "math": math, "torch": torch, "inf": math.inf, "__builtins__": {}
}  # fmt: skip
"""What conditions call that torch writes as Python."""


@dataclass(frozen=True)
class _Condition:
    """A guard in words of the inputs.

    Attributes:
        text: A Python expression such as ``x.shape[0] % 2 == 0``.
        places: The sizes that it reads.
        symbols: Names and ranges of the program's sizes.
    """

    text: str
    places: Mapping[str, int | torch.SymInt]
    symbols: Symbols

    @property
    def ranges(self) -> dict[str, Range]:
        """Return what it depends on."""
        names = [n for size in self.places.values() for n in self.symbols.names_in(size)]
        return {name: self.symbols.dims[name] for name in names}

    def values(self, sizes: Sizes) -> dict[str, int]:
        """Return what it reads."""
        return {place: self.symbols.at(size, sizes) for place, size in self.places.items()}

    def holds(self, sizes: Sizes) -> bool:
        """Return whether it holds."""
        shapes: dict[str, dict[int, int]] = {}
        for place, value in self.values(sizes).items():
            name, index = place[:-1].split(".shape[")
            shapes.setdefault(name, {})[int(index)] = value
        known = {name: SimpleNamespace(shape=shape) for name, shape in shapes.items()}
        return bool(eval(self.text, FUNCTIONS, known))

    def broken(self) -> Sizes | None:
        """Return sizes within the ranges for which it does not hold."""
        steps = {name: dim.step for name, dim in self.ranges.items()}
        return next((s for s in choices(self.ranges, steps) if not self.holds(s)), None)


def refuse_broken_guards(
    program: ExportedProgram, arguments: Sequence[UserInput], symbols: Symbols
) -> None:
    """Raise when a condition of the program does not hold in all of the ranges.

    Args:
        program: A program that was exported elsewhere.
        arguments: Its flattened arguments.
        symbols: Names and ranges of its sizes, those that were asked for.

    Raises:
        CaptureError: Naming the condition, and sizes that break it.
    """
    found: list[tuple[_Condition, Sizes]] = []
    for guard in getattr(program, "_guards_code", ()):  # PyTorch 2.8 keeps none
        try:
            condition = _read(guard, arguments, symbols)
            if (broken := condition.broken()) is not None:
                found.append((condition, broken))
        except (ArithmeticError, LookupError, NameError, SyntaxError, TypeError):
            warn(f"the program has a condition that can't be checked: {guard}", CaptureWarning)
    for condition, broken in found:
        sizes = ", ".join(f"{place}={size}" for place, size in condition.values(broken).items())
        raise CaptureError(
            f"the program was exported for sizes with {condition.text}, which does not hold for "
            f"{sizes}",
            hint=_remedy([c for c, _ in found], condition, arguments),
        )


def _read(guard: str, arguments: Sequence[UserInput], symbols: Symbols) -> _Condition:
    places: dict[str, int | torch.SymInt] = {}

    def read(found: re.Match[str]) -> str:
        argument, index = _argument(found[1], arguments), int(found[2])
        assert argument.value is not None  # a constant has no size
        place = f"{argument.name}.shape[{index}]"
        places[place] = argument.value.shape[index]
        return place

    expression = ast.parse(_SIZE.sub(read, guard).strip(), mode="eval")
    return _Condition(ast.unparse(expression), places, symbols)


def _argument(source: str, arguments: Sequence[UserInput]) -> UserInput:
    """Return the argument of a path: export calls it by the path's keys."""
    if numbered := _NUMBERED.fullmatch(source):
        return arguments[int(numbered[1])]
    name = "_".join(re.findall(r"\w+", source))
    return {argument.name: argument for argument in arguments}[name]


def _remedy(
    broken: Sequence[_Condition], condition: _Condition, arguments: Sequence[UserInput]
) -> str:
    """Return what to write: of a single size, the widest range around its optimum that holds."""
    symbols, ranges = condition.symbols, condition.ranges
    name, dim = next(iter(ranges.items()))
    alike = [other for other in broken if other.ranges == ranges]

    def holds(size: int) -> bool:
        return all(other.holds({name: size}) for other in alike)

    otherwise = "give ranges in which it always holds, or export the program with others"
    if len(ranges) > 1 or not holds(dim.opt):
        return otherwise
    low = high = dim.opt
    while low - dim.step >= dim.min and holds(low - dim.step):
        low -= dim.step
    while high + dim.step <= dim.max and holds(high + dim.step):
        high += dim.step
    inside = Axis(low, dim.opt, high) if low < high else low
    for argument in arguments:
        sizes = [] if argument.value is None else symbols.shape(argument.value.shape)
        if argument.value is not None and name in sizes:
            shape = [inside if size == name else _axis(size, symbols) for size in sizes]
            dtype = str(argument.value.dtype).removeprefix("torch.")
            return f"write {argument.name}={shape_text(shape)}:{dtype}"
    return otherwise


def _axis(size: int | str, symbols: Symbols) -> int | Axis:
    dim = symbols.dims[str(size)] if isinstance(size, str) else None
    return Axis(dim.min, dim.opt, dim.max) if dim is not None else int(size)
