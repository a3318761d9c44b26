# SPDX-License-Identifier: Apache-2.0
"""Sizes within ranges, with which conditions on them are tried."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from edge_trt.capture.axes import Axis
    from edge_trt_runtime.manifest import Range

T = TypeVar("T")
Sizes = dict[str, int]
"""A size by name."""

_MOST = 4096  # combinations of sizes that a condition is tried with


def choices(ranges: Mapping[str, Axis | Range], steps: Mapping[str, int]) -> Iterator[Sizes]:
    """Yield sizes for some names: the ends of their ranges, then all of one beside these of others.

    Args:
        ranges: A range by name.
        steps: What each size is a multiple of.
    """
    return itertools.islice(_choices(ranges, steps), _MOST)


def spread(found: Sequence[T], most: int) -> Sequence[T]:
    """Return the first, the last and some between."""
    if len(found) <= most:
        return found
    return [found[i * (len(found) - 1) // (most - 1)] for i in range(most)]


def _choices(ranges: Mapping[str, Axis | Range], steps: Mapping[str, int]) -> Iterator[Sizes]:
    ends = {name: _ends(ranges[name], step) for name, step in steps.items()}
    yield from _products(ends)
    for name, step in steps.items():
        low, high = ranges[name].min, ranges[name].max
        yield from _products({**ends, name: range(-(-low // step) * step, high + 1, step)})


def _products(values: Mapping[str, Sequence[int]]) -> Iterator[Sizes]:
    for chosen in itertools.product(*values.values()):
        yield dict(zip(values, chosen, strict=True))


def _ends(of: Axis | Range, step: int) -> list[int]:
    """Sizes at the ends of a range and around its usual one, the traced kind (from 2 on) first."""
    near = {of.max, of.min, of.opt, of.min + step, of.max - step, of.opt + step}
    inside = [s for s in near if of.min <= s <= of.max and s % step == 0]
    return sorted(inside, key=lambda size: (size < 2, -size))
