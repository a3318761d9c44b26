# SPDX-License-Identifier: Apache-2.0
"""From export's "suggested fixes" about dynamic sizes to what to write for which input."""

from __future__ import annotations

import re
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_trt.capture.axes import Axis, shape_text
from edge_trt.capture.fixed_sizes import Fixed, where_fixed
from edge_trt.capture.images import ImageInput
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
_SOLVER = "produce_guards_and_solve_constraints"
"""The function of torch that finds ranges; what it can't solve becomes an error of any kind."""
SPECIAL = 4  # sizes that become 1, or equal a number of the model, when a little is cut off
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

    @property
    def short(self) -> str:
        """The name that the user gave it, or how the model reads it."""
        return self.axis.name or f"{self.tensor.label}.shape[{self.index}]"

    def __str__(self) -> str:
        """Return the dimension as people say it."""
        return f"dimension {self.index} of {self.tensor.label!r}"

    def with_size(self, size: int | Axis) -> str:
        """Return the input with another size here, in the grammar of the command line."""
        return _written(self.tensor, {self.index: size})


@dataclass(frozen=True)
class _Need:
    """What a model needs of a dimension, and the size to write there or what else helps."""

    place: Place
    what: str
    size: int | Axis | None = None
    hint: str = ""
    source: str = ""


def is_about_sizes(error: BaseException) -> bool:
    """Whether export could not prove its conditions on sizes, or failed to solve them."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    solving = any(frame.f_code.co_name == _SOLVER for frame in frames)
    return solving or str(error).startswith(_VIOLATED)


def explain_constraints(
    error: BaseException, places: Mapping[str, Sequence[Place]], fixed: list[Fixed]
) -> CaptureError | None:
    """Return an error that says which dimensions need what, or None when ``error`` is no such.

    Args:
        error: What torch.export raised.
        places: Where each dimension name given to export appears, in order.
        fixed: The sizes that export fixed.
    """
    text = str(error)
    if not is_about_sizes(error):
        return None
    if not text.startswith(_VIOLATED):
        return CaptureError(
            "torch.export can't find out at which of the sizes asked for the model does the same",
            hint="give narrower ranges, or fixed sizes",
        )
    violated = re.findall(r"\w+", text.partition("!")[0])  # 1..2 is one size to export, so "fixed"
    _, _, fixes = text.partition("Suggested fixes:")
    needs = [
        _need(places[name][0], fix.strip(), places, fixed)
        for name, fix in _FIX.findall(fixes)
        if name in places and not (fix.strip().isdigit() and name not in violated)
    ]
    if not needs:
        needs = [_narrowed(*violation, text, places) for violation in _guarded(text, places)]
    if not needs:
        first = text.splitlines()[1].strip(" -") if "\n" in text else text
        return CaptureError(
            f"the model does not take the ranges asked for: {first}",
            hint="give narrower ranges, or fixed sizes",
        )
    hints = [*_to_write(needs), *(need.hint for need in needs if need.hint)]
    whats = [need.what for need in needs]
    source = next(filter(None, (need.source for need in needs)), "")
    return CaptureError("; ".join(whats), source=source, hint="; ".join(dict.fromkeys(hints)))


def _to_write(needs: Sequence[_Need]) -> list[str]:
    """Return the inputs with all the sizes that are needed at once; images are resized instead."""
    sizes: dict[int, dict[int, int | Axis]] = {}
    tensors = {need.place.tensor.position: need.place.tensor for need in needs}
    for need in needs:
        if need.size is not None:
            sizes.setdefault(need.place.tensor.position, {})[need.place.index] = need.size
    hints: list[str] = []
    for position, needed in sizes.items():
        image = tensors[position].described
        resized = image.fixed_size(needed) if isinstance(image, ImageInput) else None
        if resized is not None:
            height, width = resized
            hints.append(
                f"let the network resize the image by size=({height}, {width}), on the command"
                f" line size={height}x{width}"
            )
        else:
            hints.append(f"write {_written(tensors[position], needed)}")
    return hints


def _written(tensor: TensorArgument, sizes: Mapping[int, int | Axis]) -> str:
    """Return an input with other sizes, in the grammar of the command line."""
    described = tensor.described
    assert described is not None
    shape = [sizes.get(i, old) for i, old in enumerate(described.shape)]
    return f"{tensor.label}={shape_text(shape)}:{described.dtype}"


def needed_multiples(text: str, places: Mapping[str, Sequence[Place]]) -> dict[str, int]:
    """Return the dimensions that export wants to be a multiple of a number, with that number."""
    _, _, fixes = text.partition("Suggested fixes:")
    matches = {name: _MULTIPLE.fullmatch(fix.strip()) for name, fix in _FIX.findall(fixes)}
    return {name: int(match[1]) for name, match in matches.items() if match and name in places}


def fixed_low(text: str, places: Mapping[str, Sequence[Place]]) -> frozenset[str]:
    """Return the dimensions that export fixed at a size that is special to it, for it is small."""
    found = _FIXED.findall(text) if text.startswith(_VIOLATED) else []
    return frozenset(n for n, size in found if n in places and int(size) <= SPECIAL)


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


def _narrowed(name: str, source: str, text: str, places: Mapping[str, Sequence[Place]]) -> _Need:
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
        return _Need(place, what, hint="give a narrower range, or a fixed size")
    return _Need(place, what, _narrow(axis, low, high))


def _narrow(axis: Axis, low: int, high: int) -> int | Axis:
    """Return the part of a range from ``low`` to ``high``."""
    opt = min(max(axis.opt, low), high)
    return low if low == high else Axis(low, opt, high, axis.name)


def _holds(conditions: Sequence[CodeType], size: int) -> bool:
    """Whether torch's own conditions, which are Python expressions, hold for a size."""
    return all(eval(condition, {"__builtins__": {}}, {"size": size}) for condition in conditions)


def _fixed(place: Place, size: int, fixed: list[Fixed]) -> _Need:
    """Return that a dimension has to be this size, and in which line that is decided."""
    line, source = where_fixed(fixed, place.tensor.label, place.index, size)
    what = (
        f"the model, or an operator that it calls, fixes {place} at {size}, "
        f"but {place.axis} was asked for{line and f': decided{line}'}"
    )
    return _Need(place, what, size, source=source)


def _need(
    place: Place, fix: str, places: Mapping[str, Sequence[Place]], fixed: list[Fixed]
) -> _Need:
    """Return what the model needs by one of export's suggested fixes."""
    axis = place.axis
    if fix.isdigit():
        return _fixed(place, int(fix), fixed)
    if match := _DIM.fullmatch(fix):
        low = max(axis.min, int(match[1] or 0))
        high = min(axis.max, int(match[2] or axis.max))
        what = f"the model takes {place} only in {low}..{high}, but {axis} was asked for"
        if low > high:
            return _Need(place, what, hint="give sizes that it takes")
        return _Need(place, what, _narrow(axis, low, high))
    if fix in places:
        other = places[fix][0]
        shared = replace(other.axis, name=other.axis.name or axis.name or "n")
        both = [p.with_size(shared) for p in (other, place) if p.axis != shared]
        what = f"the model needs {place} equal to {other}"
        return _Need(place, what, hint=f"give both one name and range: {' and '.join(both)}")
    if match := _MULTIPLE.fullmatch(fix):
        what = f"the model takes {place} only in multiples of {match[1]}"
        nearest = max(axis.opt // int(match[1]), 1) * int(match[1])
        return _Need(
            place, what, hint=f"fix it ({place.with_size(nearest)}), or pad inside the model"
        )
    fix = re.sub(r"[A-Za-z_]\w*", lambda m: str(places.get(m[0], [m[0]])[0]), fix)
    what = f"the model needs {place} to be {fix}"
    return _Need(place, what, hint="fix the sizes, or tie them by equal names")
