# SPDX-License-Identifier: Apache-2.0
"""Handing results over: as fresh arrays, or in arrays of the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_trt_runtime.errors import InputError
from edge_trt_runtime.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge_trt_runtime.plan import Result


def targets_of(out: Mapping[str, np.ndarray], names: Sequence[str]) -> list[np.ndarray | None]:
    """Return the caller's arrays in the order of results.

    Raises:
        InputError: When a name is none of an output, or something is no array to write to.
    """
    given: Any = out
    for name in given:
        if name not in names:
            raise InputError(
                f"out has {name!r}, which is no output", hint=did_you_mean(name, names)
            )
        array = given[name]
        if not isinstance(array, np.ndarray) or not array.flags.writeable:
            raise InputError(
                f"out[{name!r}] is no numpy array that can be written to",
                hint="give one made by numpy.empty",
            )
    return [given.get(name) for name in names]


def deliver(
    values: Sequence[Any], results: Sequence[Result], targets: Sequence[np.ndarray | None]
) -> list[np.ndarray]:
    """Return the results of a run, each in its target where it has one.

    Raises:
        InputError: When a target has another shape or type.
    """
    arrays: list[np.ndarray] = []
    for (name, slot, copy), target in zip(results, targets, strict=True):
        value: np.ndarray = values[slot]
        if target is None:
            arrays.append(value.copy() if copy else value)
            continue
        if target.shape != value.shape or target.dtype != value.dtype:
            raise InputError(
                f"out[{name!r}] is {target.dtype} of shape {list(target.shape)}, and the output is "
                f"{value.dtype} of shape {list(value.shape)}",
                hint="give an array like it, or leave it out",
            )
        np.copyto(target, value)
        arrays.append(target)
    return arrays
