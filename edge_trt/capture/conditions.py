# SPDX-License-Identifier: Apache-2.0
"""Models that do something else at other sizes of a range, of which torch.export says nothing.

A condition on one size narrows its range, and export tells. A condition between two sizes becomes a
guard of the program, which its graph does not show; and sizes of 0 and 1 are never traced. There
the program is compared with the model itself.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from edge_trt.capture.guards import FUNCTIONS
from edge_trt.capture.samples import Sizes, choices
from edge_trt.capture.signature import user_inputs
from edge_trt.errors import CaptureError
from edge_trt.lowering.edit import arguments

if TYPE_CHECKING:
    from torch import fx
    from torch.export import ExportedProgram

    from edge_trt.capture.places import Places

_DRAWS = (
    "rand", "bernoulli", "binomial", "cauchy", "exponential", "geometric", "log_normal",
    "multinomial", "normal", "poisson", "uniform",
)  # fmt: skip


_LONGEST = 72  # letters of a condition that people read
_TRIED = 8  # sizes that are tried before a condition is held to be the model's


def check_sizes(
    program: ExportedProgram, places: Places, agrees: Callable[[Sizes], bool]
) -> set[int]:
    """Compare a program with its model at sizes where they may differ.

    Args:
        program: What was exported.
        places: Where each size that may change appears.
        agrees: Whether both give the same at these sizes; the others are as traced.

    Returns:
        The identities of guards that were found to hold for all sizes.

    Raises:
        CaptureError: Naming the sizes at which they don't, and the condition.
    """
    held: set[int] = set()
    if not places or draws_random_numbers(program):
        return held
    least = {name: found[0].axis.min for name, found in places.items()}
    small = {name: size for name, size in least.items() if size < 2}
    if small and not same(agrees, least):
        raise special(sizes_text(places, cause(small, agrees) or least))
    for condition, sizes in _by_condition(broken(program, places, most=_TRIED, held=held)):
        equation = _is_equation(condition)
        answers = [_compared(agrees, chosen) for chosen in (sizes if equation else sizes[:1])]
        if False in answers:
            raise chooses(condition, sizes_text(places, sizes[answers.index(False)]))
        if equation and not any(answers):
            raise _takes_only(condition, sizes_text(places, sizes[0]))
    return held


def _by_condition(found: Iterable[tuple[str, Sizes]]) -> Iterator[tuple[str, list[Sizes]]]:
    """Each condition with all its sizes."""
    for condition, pairs in itertools.groupby(found, lambda pair: pair[0]):
        yield condition, [sizes for _, sizes in pairs]


def _is_equation(condition: str) -> bool:
    """Whether a condition lets sizes be no others, such as ``h*w == 16``.

    A division makes it one of multiples, which a range can't say: there a run tells.
    """
    return " == " in condition and not re.search(r"//|%|\w\(", condition)


def _compared(agrees: Callable[[Sizes], bool], sizes: Sizes) -> bool | None:
    """Whether a program and its model agree at some sizes, or None: they take no such sizes."""
    try:
        return agrees(sizes)
    except Exception:  # the model itself takes no such sizes: a run will say so
        return None


def _takes_only(condition: str, sizes: str) -> CaptureError:
    return CaptureError(
        f"the model takes only sizes with {condition}, which does not hold for {sizes}",
        hint="fix these sizes, or compute from them what has a size of its own",
    )


def cause(small: Sizes, agrees: Callable[[Sizes], bool]) -> Sizes:
    """The first of some sizes that alone makes a difference; else all, if they do together."""
    alone = ({name: size} for name, size in small.items())
    return next((sizes for sizes in (*alone, small) if not same(agrees, sizes)), {})


def special(sizes: str, hint: str = "") -> CaptureError:
    """Return the error for a model that does something else at small sizes."""
    otherwise = (
        "give a range without that size, or write out what depends on it "
        "(squeeze(0) where squeeze() is meant)"
    )
    return CaptureError(
        f"the model does something else at {sizes} than at larger sizes", hint=hint or otherwise
    )


def chooses(condition: str, sizes: str, hint: str = "") -> CaptureError:
    """Return the error for a model that does something else where a condition does not hold."""
    many = "between sizes" if "," in sizes else "on a size"
    otherwise = "give ranges in which it always holds, or compute both and choose by torch.where"
    said = f", {condition}, which" if len(condition) <= _LONGEST else " that"
    return CaptureError(
        f"the model chooses by a condition {many}{said} does not hold for {sizes}",
        hint=hint or otherwise,
    )


def draws_random_numbers(program: ExportedProgram) -> bool:
    """Whether two runs of a program give different answers.

    Attention may draw too, but does not in evaluation mode, nor does dropout unless it is told to.
    """
    return any(_draws(node) for node in program.graph.nodes if node.op == "call_function")


def _draws(node: fx.Node) -> bool:
    target = node.target
    if target is torch.ops.aten.dropout.default:
        return bool(arguments(node)["train"])
    if not isinstance(target, torch._ops.OpOverload):
        return False
    tag = torch.Tag.nondeterministic_seeded
    return tag in target.tags and target._opname.startswith(_DRAWS)


def same(agrees: Callable[[Sizes], bool], sizes: Sizes) -> bool:
    """Whether a program and its model agree at some sizes, or take no such sizes."""
    return _compared(agrees, sizes) is not False


def sizes_text(places: Places, sizes: Sizes) -> str:
    """Write sizes as people name them: ``h=6, x.shape[0]=5``."""
    return ", ".join(f"{places[name][0].short}={size}" for name, size in sizes.items())


def broken(
    program: ExportedProgram,
    places: Places,
    *,
    names: int = 2,
    most: int | None = 1,
    held: set[int] | None = None,
) -> Iterator[tuple[str, Sizes]]:
    """Guards with sizes that break them.

    Args:
        program: What was exported.
        places: Where each size that may change appears.
        names: Guards of fewer sizes are left out.
        most: How many sets of sizes to give for each guard, None for all.
        held: Gets the identities of guards that hold for all sizes.
    """
    symbols = size_symbols(program, places)
    if not symbols:
        return
    environment = next(iter(symbols.values()))[0].node.shape_env
    for guard in environment.guards:
        expression = environment.replace(guard.expr)
        used = {n: s for n, s in symbols.items() if _symbol(s[0]) in expression.free_symbols}
        if len(used) >= names:
            failing = list(_failing(expression, places, used, most))
            if not failing and held is not None:
                held.add(id(guard))
            name = _named(expression, symbols, places) if failing else ""
            yield from ((name, sizes) for sizes in failing)


def forget_broken(program: ExportedProgram, places: Places, held: set[int]) -> None:
    """Take back what the program's sizes were assumed to be, where that does not hold.

    The program was compared there and is right. What is traced later from it was not: it would
    find its question answered for the sizes of the example, and go on with these.

    Args:
        program: What was exported.
        places: Where each size that may change appears.
        held: Identities of guards that are known to hold for all sizes.
    """
    symbols = size_symbols(program, places)
    if not symbols:
        return
    environment: Any = next(iter(symbols.values()))[0].node.shape_env
    gone = [
        guard
        for guard in environment.guards
        if id(guard) not in held and _breaks(environment.replace(guard.expr), places, symbols)
    ]
    drop_guards(environment, gone)


def drop_guards(environment: Any, gone: Sequence[Any]) -> None:
    """Take guards back from what a program knows of sizes, with all that followed from them."""
    if not gone:
        return
    kept = [guard for guard in environment.guards if not any(guard is other for other in gone)]
    environment.guards[:] = kept
    environment.axioms.clear()
    environment.divisible.clear()
    for guard in kept:
        expression = environment.simplify(guard.expr)
        environment.axioms.update(dict(environment.get_implications(expression)))
    environment._update_version_counter()
    type(environment)._inner_evaluate_expr.cache_clear()


def _breaks(expression: Any, places: Places, symbols: Mapping[str, tuple[Any, int]]) -> bool:
    """Whether there are sizes at which a condition does not hold."""
    used = {n: s for n, s in symbols.items() if _symbol(s[0]) in expression.free_symbols}
    return bool(used) and any(True for _ in _failing(expression, places, used, 1))


def _failing(
    expression: Any, places: Places, symbols: Mapping[str, tuple[Any, int]], most: int | None
) -> Iterator[Sizes]:
    """Sizes at which a condition does not hold."""
    steps = {name: step for name, (_, step) in symbols.items()}
    variables = [(name, str(_symbol(size)), step) for name, (size, step) in symbols.items()]
    holds = compiled(expression)

    def fails(sizes: Sizes) -> bool:
        known = {variable: sizes[name] // step for name, variable, step in variables}
        try:
            return holds(known) == False  # noqa: E712 (sympy's, or a relation still)
        except ZeroDivisionError:
            return True

    ranges = {name: places[name][0].axis for name in steps}
    return itertools.islice(filter(fails, choices(ranges, steps)), most)


def compiled(expression: Any) -> Callable[[dict[str, int]], Any]:
    """Return what tells whether a condition holds, from sizes by the names of its symbols.

    There are thousands of sizes, and Python's own arithmetic is many times faster than sympy's.
    """
    from torch.utils._sympy.printers import PythonPrinter

    symbols = {str(symbol): symbol for symbol in expression.free_symbols}

    def slowly(known: dict[str, int]) -> Any:
        return expression.xreplace({symbols[name]: size for name, size in known.items()})

    try:
        code = compile(PythonPrinter().doprint(expression), "<condition>", "eval")
    except (NotImplementedError, SyntaxError):  # a function that it can't write
        return slowly

    def holds(known: dict[str, int]) -> Any:
        try:
            return eval(code, FUNCTIONS, known)
        except (NameError, TypeError):  # a function that is sympy's alone, or a size that is open
            return slowly(known)

    return holds


def size_symbols(program: ExportedProgram, places: Places) -> dict[str, tuple[Any, int]]:
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


def _named(expression: Any, symbols: Mapping[str, tuple[Any, int]], places: Places) -> str:
    """Write a condition as Python does, with the sizes as people name them."""
    import sympy
    from torch.utils._sympy.printers import PythonPrinter

    names = {
        _symbol(size): sympy.Symbol(places[name][0].short) / times
        for name, (size, times) in symbols.items()
    }
    return PythonPrinter().doprint(expression.subs(names))
