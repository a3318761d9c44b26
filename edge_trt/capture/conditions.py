# SPDX-License-Identifier: Apache-2.0
"""Models that do something else at other sizes of a range, of which torch.export says nothing.

A condition on one size narrows its range, and export tells. A condition between two sizes becomes a
guard of the program, which its graph does not show; and sizes of 0 and 1 are never traced. There
the program is compared with the model itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from edge_trt.capture.signature import user_inputs
from edge_trt.errors import CaptureError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edge_trt.capture.tracing import Places

Sizes = dict[str, int]
"""A size by name."""

_DRAWS = (
    "rand", "bernoulli", "binomial", "cauchy", "exponential", "geometric", "log_normal",
    "multinomial", "normal", "poisson", "uniform",
)  # fmt: skip
_MOST = 4096  # combinations of sizes that a guard is tried with


def check_sizes(program: ExportedProgram, places: Places, agrees: Callable[[Sizes], bool]) -> None:
    """Compare a program with its model at sizes where they may differ.

    Args:
        program: What was exported.
        places: Where each size that may change appears.
        agrees: Whether both give the same at these sizes; the others are as traced.

    Raises:
        CaptureError: Naming the sizes at which they don't, and the condition.
    """
    if not places or draws_random_numbers(program):
        return
    least = {name: found[0].axis.min for name, found in places.items()}
    if any(size < 2 for size in least.values()) and not _same(agrees, least):
        raise CaptureError(
            f"the model does something else at {_text(least)} than at larger sizes",
            hint="give a range without that size, or write out what depends on it "
            "(squeeze(0) where squeeze() is meant)",
        )
    for condition, sizes in _broken(program, places):
        if not _same(agrees, sizes):
            raise CaptureError(
                f"the model chooses by a condition between sizes, {condition}, which does not "
                f"hold for {_text(sizes)}",
                hint="give ranges in which it always holds, or compute both and choose by "
                "torch.where",
            )


def draws_random_numbers(program: ExportedProgram) -> bool:
    """Whether two runs of a program give different answers.

    Dropout and attention may draw too, but do not in evaluation mode.
    """
    tag = torch.Tag.nondeterministic_seeded
    targets = [node.target for node in program.graph.nodes if node.op == "call_function"]
    drawing = [t for t in targets if isinstance(t, torch._ops.OpOverload) and tag in t.tags]
    return any(target._opname.startswith(_DRAWS) for target in drawing)


def _same(agrees: Callable[[Sizes], bool], sizes: Sizes) -> bool:
    try:
        return agrees(sizes)
    except Exception:  # the model itself takes no such sizes: a run will say so
        return True


def _text(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={size}" for name, size in sizes.items())


def _broken(program: ExportedProgram, places: Places) -> Iterator[tuple[str, Sizes]]:
    """Guards with sizes that break them."""
    symbols = _symbols(program, places)
    environment = next((s.node.shape_env for s, _ in symbols.values()), None)
    for guard in environment.guards if environment is not None else ():
        free = guard.expr.free_symbols
        used = [name for name, (size, _) in symbols.items() if _symbol(size) in free]
        if len(used) < 2:
            continue
        choices = itertools.product(*(_values(places, n, symbols[n][1]) for n in used))
        for values in itertools.islice(choices, _MOST):
            sizes = dict(zip(used, values, strict=True))
            known = {_symbol(symbols[n][0]): sizes[n] // symbols[n][1] for n in used}
            if guard.expr.xreplace(known) == False:  # noqa: E712 (sympy's, or a relation still)
                yield _named(guard.expr, symbols), sizes
                break


def _values(places: Places, name: str, step: int) -> list[int]:
    """Sizes at the ends of a range and around its usual one, the traced kind (from 2 on) first."""
    axis = places[name][0].axis
    near = {axis.max, axis.min, axis.opt, axis.min + step, axis.max - step, axis.opt + step}
    inside = [s for s in near if axis.min <= s <= axis.max and s % step == 0]
    return sorted(inside, key=lambda size: (size < 2, -size))


def _symbols(program: ExportedProgram, places: Places) -> dict[str, tuple[Any, int]]:
    """The size of each name as the program knows it, and how many of its symbol it is."""
    present = user_inputs(program)
    found: dict[str, tuple[Any, int]] = {}
    for name, (place, *_) in places.items():
        value = present[place.tensor.position].value
        assert value is not None
        size: Any = value.shape[place.index]
        if isinstance(size, torch.SymInt) and len(size.node.expr.free_symbols) == 1:
            times = size.node.expr / _symbol(size)
            if times.is_Integer:
                found[name] = (size, int(times))
    return found


def _symbol(size: torch.SymInt) -> Any:
    (symbol,) = size.node.expr.free_symbols
    return symbol


def _named(expression: Any, symbols: Mapping[str, tuple[Any, int]]) -> str:
    import sympy

    names = {_symbol(size): sympy.Symbol(name) / times for name, (size, times) in symbols.items()}
    return str(expression.subs(names))
