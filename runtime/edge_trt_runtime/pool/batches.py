# SPDX-License-Identifier: Apache-2.0
"""A batch that is larger than a run, or shared by lanes: cut into runs, and its results joined."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edge_trt_runtime.complaints import is_mapping
from edge_trt_runtime.errors import EngineError, InputError
from edge_trt_runtime.manifest import Range

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge_trt_runtime.manifest import Signature


class Part(NamedTuple):
    """Rows of a batch that are one run; ``lane`` is its number, or None for whichever is free."""

    lane: int | None
    rows: slice


def batch_sizes(signature: Signature) -> list[Range]:
    """Return the sizes that the batch of one run may have: of each profile, the greatest first.

    Raises:
        EngineError: When inputs and outputs have no batch in common.
    """
    specs = [*signature.inputs, *signature.outputs]
    leading = {spec.name: spec.shape[0] if spec.shape else "a number" for spec in specs}
    sizes = set(leading.values())
    size = sizes.pop() if len(sizes) == 1 else None
    if isinstance(size, int) and size > 0:
        return [Range(size, size, size, size)]
    if isinstance(size, str) and size in signature.dims:
        symbol = re.compile(rf"\b{re.escape(size)}\b")
        inside = [s.name for s in specs if any(symbol.search(str(n)) for n in s.shape[1:])]
        if not inside:
            whole = signature.dims[size]
            found = [profile[size] for profile in signature.profiles] or [whole]
            ranges = [Range(r.min, r.opt, r.max, whole.step) for r in found]
            return sorted(ranges, key=lambda sizes: sizes.max, reverse=True)
        leading = {f"{name} also further in": size for name in inside}
    told = ", ".join(f"{name}: {first}" for name, first in leading.items())
    raise EngineError(
        f"a batch can't be split where it is not the first size of all inputs and outputs ({told})",
        hint="build the model with a batch as the first size of all of them, or call run",
    )


def rows_of(inputs: Any) -> int:
    """Return the size of a batch; 0 where the inputs don't agree, which a run has words for."""
    if not is_mapping(inputs):
        return 0
    shapes: list[Sequence[int]] = [getattr(array, "shape", ()) for array in inputs.values()]
    sizes = {shape[0] if len(shape) else 0 for shape in shapes}
    return int(sizes.pop()) if len(sizes) == 1 else 0


def part_of(inputs: Mapping[str, Any], rows: slice) -> dict[str, Any]:
    """Return rows of all inputs, which are not copied.

    Raises:
        InputError: When an array can't give them, such as a :class:`DeviceArray`.
    """
    part: dict[str, Any] = {}
    for name, array in inputs.items():
        try:
            part[name] = array[rows]
        except TypeError as error:
            raise InputError(
                f"input {name!r} is a {type(array).__name__}, which gives no rows for the runs of "
                "a batch",
                name=name,
                hint="give an array of numpy, PyTorch or CuPy",
            ) from error
    return part


def cut(rows: int, choices: Sequence[Range], rates: Sequence[float]) -> list[Part]:
    """Cut a batch into runs.

    Each lane gets one run, in the ratio of their rates, if runs may be that large and that small.
    Otherwise there are as few equal runs as can be, which lanes take as they get free.

    Args:
        rows: Of the batch, at least 1.
        choices: Sizes that a run may have; those of the first that can be are taken.
        rates: Of the lanes.

    Raises:
        InputError: When no runs of these sizes make up the batch.
    """
    for sizes in choices:
        parts = _cut(rows, sizes, rates)
        if parts:
            return parts
    told = " or ".join(f"{sizes.min} to {sizes.max}" for sizes in choices)
    step = _step(choices[0])
    raise InputError(
        f"a batch of {rows} can't be cut into runs of {told}"
        + (f", in steps of {step}" if step > 1 else ""),
        hint="fill it up, or build the model with other sizes",
    )


def join(results: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Join the outputs of runs in their order.

    Raises:
        EngineError: When they differ in more than the batch.
    """
    if len(results) == 1:
        return results[0]
    for name in results[0]:
        shapes = sorted({result[name].shape[1:] for result in results})
        if len(shapes) > 1:
            raise EngineError(
                f"outputs {name!r} of the runs of a batch have rows of {list(shapes[0])} and "
                f"{list(shapes[1])}, so they can't be joined",
                hint="use map, which gives the outputs of each run",
            )
    return {name: np.concatenate([result[name] for result in results]) for name in results[0]}


def _cut(rows: int, sizes: Range, rates: Sequence[float]) -> list[Part]:
    """Cut into runs of these sizes; nothing where that can't be."""
    step = _step(sizes)
    units, rest = divmod(rows, step)
    least, most = max(1, -(-sizes.min // step)), sizes.max // step
    if rest or most < least:
        return []
    shares = _shares(units, rates, least)
    lanes = [(lane, share) for lane, share in enumerate(shares) if share]
    if len(lanes) > 1 and most > 1 and all(least <= share <= most for _, share in lanes):
        return _parts(lanes, step)
    count = -(-units // most)
    small, larger = divmod(units, count)
    return _parts(
        [(None, small + (i < larger)) for i in range(count if small >= least else 0)], step
    )


def _step(sizes: Range) -> int:
    return sizes.min if sizes.min == sizes.max else sizes.step


def _shares(units: int, rates: Sequence[float], least: int) -> list[int]:
    """Share by rates; lanes that would get less than a run needs get nothing, the slowest first."""
    active = sorted(range(len(rates)), key=lambda lane: -rates[lane])
    shares = [0] * len(rates)
    while True:
        whole = sum(rates[lane] for lane in active)
        exact = {lane: units * rates[lane] / whole for lane in active}
        for lane in active:
            shares[lane] = int(exact[lane])
        left = units - sum(shares[lane] for lane in active)
        by_rest = sorted(active, key=lambda lane: shares[lane] - exact[lane])
        for lane in by_rest[:left]:
            shares[lane] += 1
        if len(active) == 1 or all(shares[lane] >= least for lane in active):
            return shares
        shares[active.pop()] = 0


def _parts(lanes: Sequence[tuple[int | None, int]], step: int) -> list[Part]:
    parts: list[Part] = []
    start = 0
    for lane, units in lanes:
        parts.append(Part(lane, slice(start, start + units * step)))
        start += units * step
    return parts
