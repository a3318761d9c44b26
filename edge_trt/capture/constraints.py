# SPDX-License-Identifier: Apache-2.0
"""From export's "suggested fixes" about dynamic sizes to what to write for which input."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_trt.capture.axes import Axis, shape_text
from edge_trt.errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import CodeType

    from edge_trt.capture.call import TensorArgument

_FIX = re.compile(r"^ +(\w+) = (.+)$", re.MULTILINE)
_DIM = re.compile(r"Dim\('\w+'(?:, min=(\d+))?(?:, max=(\d+))?\)")
_GUARD = re.compile(
    r"Not all values of (\w+) = (\S+) in the specified range .* satisfy the generated guard "
    r"(.+?)\.?$",
    re.MULTILINE,
)
_FIXED = re.compile(r"You marked (\w+) as dynamic but your code specialized it .* \((\d+)\)")
_VIOLATED = "Constraints violated"
_SPECIAL = 4  # sizes that become 1, or equal a number of the model, when a little is cut off
_MULTIPLE = re.compile(r"(\d+)\*_\w+")


@dataclass(frozen=True)
class Place:
    """Where a dynamic size appears: one dimension of one input."""

    tensor: TensorArgument
    index: int

    @property
    def axis(self) -> Axis:
        """The range that was asked for."""
        return self.tensor.axes[self.index]

    def __str__(self) -> str:
        """Return the dimension as people say it."""
        return f"dimension {self.index} of {self.tensor.label!r}"

    def with_size(self, size: int | Axis) -> str:
        """Return the input with another size here, in the grammar of the command line."""
        described = self.tensor.described
        assert described is not None
        shape = [size if i == self.index else old for i, old in enumerate(described.shape)]
        return f"{self.tensor.label}={shape_text(shape)}:{described.dtype}"


def explain_constraints(
    error: BaseException, places: Mapping[str, Sequence[Place]]
) -> CaptureError | None:
    """Return an error that says which dimensions need what, or None when ``error`` is no such.

    Args:
        error: What torch.export raised.
        places: Where each dimension name given to export appears, in order.
    """
    text = str(error)
    if not text.startswith(_VIOLATED):
        return None
    _, _, fixes = text.partition("Suggested fixes:")
    said = [
        _sentence(places[name][0], fix.strip(), places)
        for name, fix in _FIX.findall(fixes)
        if name in places
    ]
    if not said:
        said = [_narrowed(*violation, text, places) for violation in _guarded(text, places)]
    if not said:
        first = text.splitlines()[1].strip(" -") if "\n" in text else text
        return CaptureError(
            f"the model does not take the ranges asked for: {first}",
            hint="give narrower ranges, or fixed sizes",
        )
    whats, writes = zip(*said, strict=True)
    return CaptureError("; ".join(whats), hint="; ".join(dict.fromkeys(writes)))


def needed_multiples(text: str, places: Mapping[str, Sequence[Place]]) -> dict[str, int]:
    """Return the dimensions that export wants to be a multiple of a number, with that number."""
    _, _, fixes = text.partition("Suggested fixes:")
    matches = {name: _MULTIPLE.fullmatch(fix.strip()) for name, fix in _FIX.findall(fixes)}
    return {name: int(match[1]) for name, match in matches.items() if match and name in places}


def fixed_low(text: str, places: Mapping[str, Sequence[Place]]) -> frozenset[str]:
    """Return the dimensions that export fixed at a size that is special to it, for it is small."""
    found = _FIXED.findall(text) if text.startswith(_VIOLATED) else []
    return frozenset(n for n, size in found if n in places and int(size) <= _SPECIAL)


def refused_sizes(text: str, places: Mapping[str, Sequence[Place]]) -> dict[str, list[int]]:
    """Return for each dimension some of the sizes that don't satisfy export's conditions.

    Empty when export refuses for another reason, or the conditions are of several dimensions.
    """
    refused: dict[str, list[int]] = {}
    for name, source, guard in _GUARD.findall(text) if text.startswith(_VIOLATED) else ():
        if name not in places:
            return {}
        axis = places[name][0].axis
        try:
            condition = [compile(guard.replace(source, "size"), "<guard>", "eval")]
            sizes = [n for n in range(axis.min, axis.max + 1) if not _holds(condition, n)]
        except (ArithmeticError, NameError, SyntaxError, TypeError):
            return {}
        middle = sizes[len(sizes) // 2 : len(sizes) // 2 + 1]
        some = {*refused.get(name, ()), *sizes[:2], *middle, *sizes[-1:]}
        refused[name] = sorted(some)
    return refused


def _guarded(text: str, places: Mapping[str, Sequence[Place]]) -> list[tuple[str, str]]:
    """Return each dimension that has a condition without a suggested fix, as (name, source)."""
    found = {name: source for name, source, _ in _GUARD.findall(text) if name in places}
    return list(found.items())


def _narrowed(
    name: str, source: str, text: str, places: Mapping[str, Sequence[Place]]
) -> tuple[str, str]:
    """Return what a dimension needs, and the widest range around its optimum that satisfies it."""
    place = places[name][0]
    axis = place.axis
    guards = [
        guard.replace(source, "size") for _, of, guard in _GUARD.findall(text) if of == source
    ]
    what = f"the model takes {place} only where {' and '.join(guards[:2])}"
    low = high = max(axis.opt, 2)  # what was traced, so all conditions hold there
    try:
        conditions = [compile(guard, "<guard>", "eval") for guard in guards]
        while low > axis.min and _holds(conditions, low - 1):
            low -= 1
        while high < axis.max and _holds(conditions, high + 1):
            high += 1
    except (ArithmeticError, NameError, SyntaxError, TypeError):
        return what, "give a narrower range, or a fixed size"
    narrow = Axis(low, min(max(axis.opt, low), high), high, axis.name)
    return what, f"write {place.with_size(low if low == high else narrow)}"


def _holds(conditions: Sequence[CodeType], size: int) -> bool:
    """Whether torch's own conditions, which are Python expressions, hold for a size."""
    return all(eval(condition, {"__builtins__": {}}, {"size": size}) for condition in conditions)


def _sentence(place: Place, fix: str, places: Mapping[str, Sequence[Place]]) -> tuple[str, str]:
    """Return what the model needs, and what to write."""
    axis = place.axis
    if fix.isdigit():
        what = f"the model fixes {place} at {fix}, but {axis} was asked for"
        return what, f"write {place.with_size(int(fix))}"
    if match := _DIM.fullmatch(fix):
        low = max(axis.min, int(match[1] or 0))
        high = min(axis.max, int(match[2] or axis.max))
        what = f"the model takes {place} only in {low}..{high}, but {axis} was asked for"
        if low > high:
            return what, "give sizes that it takes"
        narrow = Axis(low, min(max(axis.opt, low), high), high, axis.name)
        return what, f"write {place.with_size(low if low == high else narrow)}"
    if fix in places:
        other = places[fix][0]
        name = axis.name or other.axis.name or "n"
        shared = Axis(axis.min, axis.opt, axis.max, name)
        what = f"the model needs {place} equal to {other}"
        return what, f"give both one name and range: {place.with_size(shared)}"
    if match := _MULTIPLE.fullmatch(fix):
        what = f"the model takes {place} only in multiples of {match[1]}"
        nearest = max(axis.opt // int(match[1]), 1) * int(match[1])
        return what, f"fix it ({place.with_size(nearest)}), or pad inside the model"
    fix = re.sub(r"[A-Za-z_]\w*", lambda m: str(places.get(m[0], [m[0]])[0]), fix)
    return f"the model needs {place} to be {fix}", "fix the sizes, or tie them by equal names"
