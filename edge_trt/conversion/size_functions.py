# SPDX-License-Identifier: Apache-2.0
"""Numbers computed from sizes by more than whole arithmetic: `int(0.7 * h)`, `h ** 0.5`, `h > 4`.

Python computes them in float64, which TensorRT does not have, and float32 would round to another
size now and then. The range of a size is known, though, so that such a function is a table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
import torch
from torch import fx

from edge_trt.conversion.context import Context
from edge_trt.conversion.size_ranges import bounds
from edge_trt.network.builder import Size
from edge_trt.network.graph import Tensor

LIMIT = 2**16
"""Most entries of a table."""


@dataclass(frozen=True, slots=True)
class SizeFunction:
    """A function of sizes that are known only when the network runs."""

    sizes: tuple[Tensor, ...]
    call: Callable[..., Any]


def function_of(function: Callable[..., Any], *arguments: Any) -> Any:
    """`function` of numbers, sizes and functions of sizes: a number if all are, else a function."""
    sizes: list[Tensor] = []
    for argument in arguments:
        own = argument.sizes if isinstance(argument, SizeFunction) else (argument,)
        sizes += [s for s in own if isinstance(s, Tensor) and s not in sizes]
    if not sizes:
        return function(*arguments)

    def call(*values: Any) -> Any:
        known = dict(zip(sizes, values, strict=True))
        return function(*(_value(a, known) for a in arguments))

    return SizeFunction(tuple(sizes), call)


def _value(argument: Any, known: dict[Tensor, Any]) -> Any:
    if isinstance(argument, SizeFunction):
        return argument.call(*(known[s] for s in argument.sizes))
    return known[argument] if isinstance(argument, Tensor) else argument


def tabulated(ctx: Context, function: SizeFunction) -> Tensor:
    """The function's value as a 0-d tensor, looked up in a table of all of them."""
    ranges = [_from_zero(*ctx.ranges[size]) for size in function.sizes]
    entries = np.array([_entry(function, values) for values in product(*ranges)])
    place: Size = 0
    for size, values in zip(function.sizes, ranges, strict=True):
        step = ctx.calculate("SUB", size, values.start)
        place = ctx.calculate("SUM", ctx.calculate("PROD", place, len(values)), step)
    table = entries.astype(np.float32) if entries.dtype.kind == "f" else entries
    return ctx.gather(ctx.constant(table, name="table"), ctx.as_tensor(place), 0)


def _from_zero(low: float, high: float) -> range:
    """All values of a size, and those down to 0: an offset costs a layer, and these do not."""
    return range(min(int(low), 0), int(high) + 1)


def _entry(function: SizeFunction, values: tuple[int, ...]) -> Any:
    try:
        return function.call(*values)
    except ArithmeticError:  # of sizes that can't be: the model would fail there, too
        return 0


def too_many_entries(what: str, *sizes: Any) -> str | None:
    """Why functions of these sizes can't become a table, given as torch has them."""
    spans = [high - min(low, 0) + 1 for low, high in map(bounds, sizes)]
    if prod(spans) <= LIMIT:
        return None
    return (
        f"a number computed from sizes as {what} does is looked up in a table of at most {LIMIT}"
        " entries: give the sizes narrower ranges"
    )


def no_table(node: fx.Node) -> str | None:
    """Why the call of a function of sizes can't become a table."""
    what = getattr(node.target, "__name__", str(node.target))
    return too_many_entries(what, *_leaves(node).values())


def _leaves(node: fx.Node) -> dict[str, Any]:
    """The whole sizes that a function of sizes is computed from, by what they are."""
    found: dict[str, Any] = {}
    for source in node.all_input_nodes:
        value = source.meta["val"]
        found |= {str(value): value} if isinstance(value, torch.SymInt) else _leaves(source)
    return found
