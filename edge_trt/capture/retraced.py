# SPDX-License-Identifier: Apache-2.0
"""Programs that torch has traced again from themselves, at sizes that it did not ask about before.

Tracing writes away asks new questions, such as whether a slice has one row, and answers them for
the sizes of the example. Nobody sees that: the answers are guards of sizes that the program had
before. Where one does not hold, the new program is compared with the old one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import sympy
import torch
from torch.utils import _pytree as pytree
from torch.utils._sympy.numbers import int_oo
from torch.utils._sympy.printers import PythonPrinter

from edge_trt.capture.agreement import alike, checked_results
from edge_trt.capture.conditions import (
    compiled,
    draws_random_numbers,
)
from edge_trt.capture.known_sizes import KnownSizes
from edge_trt.capture.samples import choices, spread
from edge_trt.capture.signature import user_inputs
from edge_trt.errors import UnsupportedError
from edge_trt_runtime.manifest import Range

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import fx
    from torch.export import ExportedProgram

_WRITES = (
    "PyTorch carries writes through views back",
    "give a range without these sizes, or clone() the view before it is written to",
)
_LOWERING = (
    "the model is written in TensorRT's operators",
    "give a range without these sizes, and please report it",
)
_MOST = 8  # sizes that are compared for each condition
_WIDEST = 4096  # sizes from the least on that are looked at where there is no greatest

_Known = dict[str, int]
"""A size by the name of its symbol."""
_Run = Callable[[Mapping[int, torch.Tensor]], "Sequence[Any] | None"]
"""Gives the results for tensors by position, or None where a shape is another."""
_Step = tuple[str, str]
"""What is done, and what helps."""


def settle_sizes(
    program: ExportedProgram, retraced: ExportedProgram, before: KnownSizes | None
) -> None:
    """Compare a program with its new trace where that assumes more, and take these guards back.

    Args:
        program: What was traced again.
        retraced: What came of it.
        before: What was known of its sizes before, or None when all are numbers.

    Raises:
        UnsupportedError: Naming a condition, and sizes at which both differ.
    """
    if before is not None:
        _settle(program, before, partial(checked_results, retraced, sizes=False), _WRITES)


def settle_lowered(program: ExportedProgram, gm: fx.GraphModule, before: KnownSizes | None) -> None:
    """Compare a program with its lowered graph where lowering has assumed anything of sizes.

    Args:
        program: The program.
        gm: What came of it: its inputs in order are the program's.
        before: What was known of its sizes before, or None when all are numbers.

    Raises:
        UnsupportedError: Naming a condition, and sizes at which both differ.
    """

    def run(tensors: Mapping[int, torch.Tensor]) -> Sequence[Any]:
        with torch.inference_mode():
            return pytree.tree_leaves(gm(*(tensors[i] for i in sorted(tensors))))

    if before is not None:
        _settle(program, before, run, _LOWERING)


def _settle(program: ExportedProgram, before: KnownSizes, run: _Run, step: _Step) -> None:
    conditions, ranges = before.new(), before.sizes
    broken = [(c, found) for c in conditions if (found := list(_failing(c, ranges)))]
    if broken and before.ties():
        condition, sizes = broken[0]
        raise _refusal(before, condition, sizes[0], step)
    if not draws_random_numbers(program):
        least = {name: dim.min for name, dim in ranges.items()}
        traced = step is _WRITES and min(least.values(), default=2) < 2
        for condition, sizes in [*broken, (None, [least] if traced else [])]:
            for known in spread(sizes, _MOST):
                if not _agree(program, run, {**_usual(ranges), **known}):
                    raise _refusal(before, condition, known, step)
    before.take_back([conditions[condition] for condition, _ in broken])


def known_sizes(program: ExportedProgram) -> KnownSizes | None:
    """What torch knows of a program's sizes now, or None when all are numbers."""
    environment = environment_of(program)
    if environment is None:
        return None
    return KnownSizes(
        environment,
        frozenset(map(id, environment.guards)),
        dict(environment.replacements),
        dict(environment.var_to_range),
        tuple(_symbols(program)),
        _ranges(program),
        _names(program),
    )


def environment_of(program: ExportedProgram) -> Any:
    """What a program knows of its inputs' sizes, or None when all are numbers."""
    for given in user_inputs(program):
        for size in () if given.value is None else given.value.shape:
            if isinstance(size, torch.SymInt):
                return size.node.shape_env
    return None


def _ranges(program: ExportedProgram) -> dict[str, Range]:
    """The range of each symbol in the inputs."""
    ranges: dict[str, Range] = {}
    for symbol in _symbols(program):
        limits = program.range_constraints.get(symbol)
        low = max(int(limits.lower), 0) if limits is not None else 2
        high = low + _WIDEST
        if limits is not None and limits.upper not in (int_oo, torch.inf):
            high = min(int(limits.upper), high)
        usual = min(max(low, 5), high)
        ranges[str(symbol)] = Range(low, usual, high, 1)
    return ranges


def _symbols(program: ExportedProgram) -> list[Any]:
    found: dict[Any, None] = {}
    for given in user_inputs(program):
        for size in () if given.value is None else given.value.shape:
            if isinstance(size, torch.SymInt):
                found |= dict.fromkeys(sorted(size.node.expr.free_symbols, key=str))
    return list(found)


def _usual(ranges: Mapping[str, Range]) -> _Known:
    return {name: dim.opt for name, dim in ranges.items()}


def _failing(condition: Any, ranges: Mapping[str, Range]) -> Iterator[_Known]:
    """Sizes at which a condition does not hold, of some hundreds that are tried."""
    used = {str(symbol) for symbol in condition.free_symbols}
    if not used or not used <= ranges.keys():  # it depends on values
        return
    holds = compiled(condition)
    for known in itertools.islice(choices(ranges, dict.fromkeys(sorted(used), 1)), _WIDEST):
        try:
            failed = holds(known) == False  # noqa: E712 (sympy's, or a relation still)
        except ZeroDivisionError:
            failed = True
        if failed:
            yield known


def _agree(program: ExportedProgram, run: _Run, known: _Known) -> bool:
    """Whether both give the same at some sizes, or the first takes no such sizes."""
    tensors = _inputs(program, known)
    try:
        wanted = checked_results(program, tensors, sizes=False)
    except Exception:  # the model itself takes no such sizes: a run will say so
        return True
    try:
        found = run(tensors)
    except Exception:  # a shape that was taken for known
        return False
    return wanted is None or (found is not None and alike(found, wanted))


def _inputs(program: ExportedProgram, known: _Known) -> dict[int, torch.Tensor]:
    """Random floats, and zeros, which are indices into anything."""
    generator = torch.Generator().manual_seed(0)
    tensors: dict[int, torch.Tensor] = {}
    for position, given in enumerate(user_inputs(program)):
        if given.value is None:
            continue
        shape = [_size(size, known) for size in given.value.shape]
        filled = torch.zeros(shape, dtype=given.value.dtype)
        floats = filled.dtype.is_floating_point
        tensors[position] = filled.normal_(generator=generator) if floats else filled
    return tensors


def _size(size: int | torch.SymInt, known: _Known) -> int:
    if isinstance(size, int):
        return size
    expression = size.node.expr
    return int(expression.xreplace({s: known[str(s)] for s in expression.free_symbols}))


def _refusal(before: KnownSizes, condition: Any, known: _Known, step: _Step) -> UnsupportedError:
    sizes = ", ".join(f"{before.names[symbol]}={size}" for symbol, size in known.items())
    where = ", which does not hold"
    if condition is not None:
        named = {s: sympy.Symbol(before.names[str(s)]) for s in condition.free_symbols}
        where = f", {PythonPrinter().doprint(condition.xreplace(named))}, which does not hold"
    return UnsupportedError(
        f"{step[0]} only under a condition on sizes{where} for {sizes}", hint=step[1]
    )


def _names(program: ExportedProgram) -> dict[str, str]:
    """Where people find each symbol: ``x.shape[0]``."""
    names = {str(symbol): str(symbol) for symbol in _symbols(program)}
    for given in user_inputs(program):
        for index, size in enumerate(() if given.value is None else given.value.shape):
            if isinstance(size, torch.SymInt) and size.node.expr.is_Symbol:
                names[str(size.node.expr)] = f"{given.name}.shape[{index}]"
    return names
