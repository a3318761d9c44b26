# SPDX-License-Identifier: Apache-2.0
"""Programs whose conditions on sizes torch.export can't prove for all of a range, and so refuses.

It asks about sizes for reasons of its own: whether a slice is one row, which would broadcast, or
whether two strides are equal. ``x[1:-1]`` and ``x[:, : n // 2]`` are refused for that, or fixed at
the size that they were traced with. Traced with sizes that it may say anything about
(``Dim.AUTO``), the program keeps these conditions as guards. Wherever one does not hold, the
program is compared with the model.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch
from torch.fx.experimental.symbolic_shapes import DimConstraints
from torch.utils import _pytree as pytree

from edge_trt.capture.agreement import agrees, answers
from edge_trt.capture.axes import Axis
from edge_trt.capture.conditions import (
    broken,
    chooses,
    draws_random_numbers,
    forget_broken,
    size_symbols,
    sizes_text,
    special,
)
from edge_trt.capture.constraints import SPECIAL
from edge_trt.capture.places import arguments_of, tensors_at, traced_size
from edge_trt.capture.quiet import quiet
from edge_trt.capture.samples import Sizes, spread
from edge_trt.capture.signature import user_inputs
from edge_trt.errors import CaptureError
from edge_trt.user_code import reason

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

    from edge_trt.capture.call import Call
    from edge_trt.capture.places import Places

_Sizes = tuple[tuple[str, int], ...]
_Doubt = tuple[str, "list[_Sizes]"]

FURTHER = 3  # how much larger a size is traced again: what is special about 2 is not about 5
_MOST = 8  # sizes that are compared for each condition
_TRIED = 16  # sizes on each side that are compared to find a range that works


def trace_unproved(
    model: nn.Module, call: Call, places: Places, export: Callable[..., ExportedProgram]
) -> ExportedProgram | CaptureError | None:
    """Export a model without proof, and compare where that matters.

    Args:
        model: The model.
        call: Its arguments.
        places: Where each size that may change appears.
        export: Exports with `Dim.AUTO` at the sizes given; with `oblivious`, no size is taken for
            special, such as 1.

    Returns:
        The program, if it is right for all sizes asked for; what to tell the user, if it is right
        for some only; or None when that can't be found out.
    """
    low = list(_near_least(places))
    failure = partial(_failure, model, call, places)
    if any(failure(sizes) is not None for sizes in low):
        return _where_it_fails(places, failure)
    sizes = (_distinct_sizes(places, larger=larger) for larger in (False, True))
    programs = next(filter(None, (_open_programs(places, partial(export, s)) for s in sizes)), None)
    if programs is None or draws_random_numbers(program := programs[-1]):
        return None
    alike = cache(partial(_alike, model, program, call, places))
    held: set[int] = set()
    doubts = [*_doubts(programs, places, held), ("", [_key(sizes) for sizes in low])]
    for condition, sizes in doubts:
        for chosen in spread(sizes, _MOST):
            if not alike(chosen):
                return _refusal(condition, chosen, doubts, places, alike)
    _open_ranges(program, places)
    forget_broken(program, places, held)
    return program


def _distinct_sizes(places: Places, *, larger: bool) -> Sizes:
    """Return sizes to trace: two that are equal by chance would be one size to export."""
    chosen: Sizes = {}
    for name, found in places.items():
        axis, size = found[0].axis, traced_size(found)
        size += FURTHER if larger and size <= SPECIAL else 0
        others = (*range(size, axis.max + 1), *range(size - 1, max(axis.min, 2) - 1, -1))
        chosen[name] = next((n for n in others if n not in chosen.values()), size)
    return chosen


def _open_programs(places: Places, export: Callable[..., ExportedProgram]) -> list[ExportedProgram]:
    """Return what is traced with sizes that may be special, and without, while all stay open.

    The first asks more, so that its guards say where to compare. The second is right more often,
    but where a size is cut by another it may know too little of the result.
    """
    programs: list[ExportedProgram] = []
    for oblivious in (False, True):
        try:
            program = export(oblivious=oblivious)
        except Exception:  # the refusal that led here says why
            break
        if not _keeps_open(program, places):
            break
        programs.append(program)
    return programs


def _key(sizes: Sizes) -> _Sizes:
    return tuple(sorted(sizes.items()))


def _doubts(programs: Sequence[ExportedProgram], places: Places, held: set[int]) -> list[_Doubt]:
    """Each condition with all the sizes at which it does not hold; the others are `held`."""
    found: dict[str, list[_Sizes]] = {}
    for program in programs:
        for condition, sizes in broken(program, places, names=1, most=None, held=held):
            found.setdefault(condition, []).append(_key(sizes))
    return [(condition, list(dict.fromkeys(sizes))) for condition, sizes in found.items()]


def _refusal(
    condition: str,
    sizes: _Sizes,
    doubts: Sequence[_Doubt],
    places: Places,
    alike: Callable[[_Sizes], bool],
) -> CaptureError:
    """Return what to tell the user, with the widest range around the optimum that was compared."""
    text = sizes_text(places, dict(sizes))
    hint = ""
    if len(sizes) == 1:
        ((name, _),) = sizes
        place = places[name][0]
        alone = [s[0] for _, found in doubts for s in found if len(s) == 1]
        doubtful = {size for of, size in alone if of == name}
        axis = _around(place.axis, doubtful, lambda size: alike(((name, size),)))
        hint = f"write {place.with_size(axis if axis.min < axis.max else axis.min)}"
    return chooses(condition, text, hint) if condition else special(text, hint)


def _around(axis: Axis, doubtful: Set[int], alike: Callable[[int], bool]) -> Axis:
    """Return the widest range around the optimum in which what is in doubt was found alike."""
    if axis.opt in doubtful and not alike(axis.opt):
        return Axis(axis.opt, axis.opt, axis.opt)
    above = sorted(size for size in doubtful if size > axis.opt)
    below = sorted((size for size in doubtful if size < axis.opt), reverse=True)
    stops = [
        next((s for i, s in enumerate(some) if i >= _TRIED or not alike(s)), None)
        for some in (below, above)
    ]
    low = axis.min if stops[0] is None else stops[0] + 1
    high = axis.max if stops[1] is None else stops[1] - 1
    return Axis(low, axis.opt, high, axis.name)


@contextmanager
def unsolved() -> Generator[None]:
    """Let an export go on where its solver, which finds what to tell the user, fails."""
    solve = DimConstraints.solve

    def tolerant(constraints: DimConstraints) -> None:
        with suppress(Exception):  # sympy raises many kinds of errors
            solve(constraints)

    with patch.object(DimConstraints, "solve", tolerant):
        yield


@contextmanager
def equal_names(model: nn.Module, places: Places) -> Generator[None]:
    """Tell an export that sizes of one name are equal, which `Dim.AUTO` has no word for."""

    def check(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        leaves = pytree.tree_leaves((args, kwargs))
        for first, *others in places.values():
            for other in others:
                sizes = [leaves[p.tensor.position].shape[p.index] for p in (first, other)]
                torch._check(sizes[0] == sizes[1])

    handle = model.register_forward_pre_hook(check, prepend=True, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _near_least(places: Places) -> Iterator[Sizes]:
    """The least sizes and the next, and those that export takes for constants one by one."""
    axes = {name: found[0].axis for name, found in places.items()}
    yield {name: axis.min for name, axis in axes.items()}
    yield {name: min(axis.min + 1, axis.max) for name, axis in axes.items()}
    for name, axis in axes.items():
        yield from ({name: size} for size in (0, 1) if axis.min <= size <= axis.max)


def _failure(model: nn.Module, call: Call, places: Places, sizes: Sizes) -> Exception | None:
    try:
        with quiet():  # torch.cond compiles its branches, and logs what they raise
            answers(model, *arguments_of(call, tensors_at(call, places, sizes)))
    except Exception as error:  # a model raises what it likes
        return error
    return None


def _where_it_fails(
    places: Places, failure: Callable[[Sizes], Exception | None]
) -> CaptureError | None:
    """Return what to tell of a model that takes no small sizes, or none if it leaves out others."""
    for name, (place, *_) in places.items():
        axis = place.axis
        error = failure({name: axis.min})
        sizes = range(axis.min + 1, min(axis.opt, axis.min + _TRIED))
        least = next((size for size in sizes if failure({name: size}) is None), None)
        if error is None or least is None or failure({name: least + 1}) is not None:
            continue
        narrow = Axis(least, axis.opt, axis.max, axis.name)
        return CaptureError(
            f"the model fails at {place.short}={axis.min}: {reason(error)}",
            hint=f"write {place.with_size(narrow)}",
        )
    return None


def _keeps_open(program: ExportedProgram, places: Places) -> bool:
    """Whether each name still has a symbol of its own."""
    symbols = {
        n: s.node.expr for n, (s, step) in size_symbols(program, places).items() if step == 1
    }
    present = user_inputs(program)
    for name, found in places.items():
        for place in found:
            value = present[place.tensor.position].value
            size: Any = None if value is None else value.shape[place.index]
            if not isinstance(size, torch.SymInt) or size.node.expr != symbols.get(name):
                return False
    return len(set(symbols.values())) == len(symbols)


def _alike(
    model: nn.Module, program: ExportedProgram, call: Call, places: Places, sizes: _Sizes
) -> bool:
    tensors = tensors_at(call, places, dict(sizes))
    try:
        return agrees(model, program, tensors, *arguments_of(call, tensors))
    except Exception:  # the model does not take these sizes, or the program does not
        return False


def _open_ranges(program: ExportedProgram, places: Places) -> None:
    """Let the program say that it takes all sizes: it was compared where it said otherwise."""
    from torch.utils._sympy.value_ranges import ValueRanges

    for name, (size, _) in size_symbols(program, places).items():
        axis = places[name][0].axis
        environment, symbol = size.node.shape_env, size.node.expr
        limits: Any = ValueRanges(axis.min, axis.max)
        environment.var_to_range[symbol] = program.range_constraints[symbol] = limits
