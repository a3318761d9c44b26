# SPDX-License-Identifier: Apache-2.0
"""Sizes of an input's dimensions: fixed numbers and ranges, and how they are written.

Grammar of an input on the command line::

    input := [name "="] shape [":" dtype]
    shape := "scalar" | dim ("x" dim)*
    dim   := size | [axis ":"] min ".." [opt ".."] max        opt is max when it is left out
    dtype := float32 | float16 | int64 | ...

``image=1..4..8x3x224x224:float32`` has a first dimension from 1 to 8, tuned for 4.
``ids=batch:1..4..8xseq:1..128..512:int64`` names its dimensions: equal names in one build are one
and the same size, and equal ranges without a name are not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_trt.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

SCALAR = "scalar"
_AXIS = re.compile(r"(?:([A-Za-z_]\w*):)?(\d+)(?:\.\.(\d+))?(?:\.\.(\d+))?", re.ASCII)
_WRITE = "write it as NAME=1..4..8x3x224x224:float32 (min..opt..max)"


@dataclass(frozen=True)
class Axis:
    """A size that may change from run to run.

    Attributes:
        min: Least size.
        opt: The size that engines are tuned for.
        max: Greatest size.
        name: Equal names mean equal sizes; an axis without a name is independent.
    """

    min: int
    opt: int
    max: int
    name: str | None = None

    def __post_init__(self) -> None:
        """Refuse ranges that hold nothing, or whose optimum lies outside."""
        if not 0 <= self.min <= self.opt <= self.max:
            label = f" of {self.name!r}" if self.name else ""
            raise OptionError(
                f"the range {self.min}..{self.opt}..{self.max}{label} is not in order",
                hint="write min..opt..max with min <= opt <= max",
            )
        if self.name is not None and not re.fullmatch(r"[A-Za-z_]\w*", self.name, re.ASCII):
            raise OptionError(
                f"{self.name!r} can't name a dimension", hint="use letters, digits and '_'"
            )

    def __str__(self) -> str:
        """Return the range in the grammar of the command line."""
        name = f"{self.name}:" if self.name else ""
        middle = "" if self.opt == self.max else f"{self.opt}.."
        return f"{name}{self.min}..{middle}{self.max}"

    def in_steps(self, step: int) -> Axis | None:
        """Return the multiples of ``step`` in the range, or None when there are none.

        The optimum becomes the nearest one, and of two the greater.
        """
        low, high = -(-self.min // step) * step, self.max // step * step
        if low > high:
            return None
        opt = (self.opt + step // 2) // step * step
        return Axis(low, min(max(opt, low), high), high, self.name)


Shape = tuple["int | Axis", ...]
"""One entry per dimension."""


def shape_text(shape: Sequence[int | Axis]) -> str:
    """Write a shape in the grammar of the command line."""
    return "x".join(map(str, shape)) if shape else SCALAR


def parse_shape(text: str, whole: str) -> tuple[Shape, str]:
    """Read the shape at the start of ``text``.

    Args:
        text: ``shape [":" dtype]``.
        whole: The argument it is part of, for error texts.

    Returns:
        The shape, and the text that follows it.

    Raises:
        OptionError: When the text is not a shape.
    """
    if text == SCALAR or text.startswith(f"{SCALAR}:"):
        return (), text[len(SCALAR) :]
    shape: list[int | Axis] = []
    position = 0
    while match := _AXIS.match(text, position):
        shape.append(_size(match))
        position = match.end()
        if not text.startswith("x", position):
            return tuple(shape), text[position:]
        position += 1
    raise OptionError(f"can't read the shape in {whole!r} from {text[position:]!r}", hint=_WRITE)


def _size(match: re.Match[str]) -> int | Axis:
    """Return one dimension; a range of a single size is that size."""
    name, *numbers = match.groups()
    sizes = [int(number) for number in numbers if number is not None]
    low, high = sizes[0], sizes[-1]
    axis = Axis(low, sizes[1] if len(sizes) == 3 else high, high, name)
    return low if low == high else axis
