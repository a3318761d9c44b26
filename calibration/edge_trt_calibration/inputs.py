# SPDX-License-Identifier: Apache-2.0
"""What a model takes, and whether arrays fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_trt_calibration.errors import CalibrationError

Size = int | tuple[int, int]
"""A size of an input: a number, or the smallest and the largest of a range."""

Feed = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the model takes under a name: a numpy type's name, and a size for every axis.

    `names` are those of the open sizes, None for others; sizes of one name are the same in all
    inputs of a batch.
    """

    name: str
    dtype: str
    shape: tuple[Size, ...]
    names: tuple[str | None, ...] = ()

    def __str__(self) -> str:
        sizes = [str(s) if isinstance(s, int) else f"{s[0]}..{s[1]}" for s in self.shape]
        return f"{self.dtype}[{', '.join(sizes)}]"


def as_array(value: Any, spec: InputSpec, number: int) -> np.ndarray:
    """One input as an array of its type; numbers that would change are refused."""
    value = value.detach().cpu() if hasattr(value, "detach") else value
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CalibrationError(
            f"batch {number}: {spec.name} is no array ({error})", names=[spec.name]
        ) from error
    wanted = np.dtype(spec.dtype)
    if array.dtype == wanted:
        return array
    floats = array.dtype.kind == "f" and wanted.kind == "f"
    integers = array.dtype.kind in "iu" and wanted.kind in "iu"
    if floats or (integers and np.array_equal(array, array.astype(wanted))):
        return array.astype(wanted)
    raise CalibrationError(
        f"batch {number}: {spec.name} is {array.dtype}, the model takes {spec}",
        names=[spec.name],
        hint=f"convert it to {spec.dtype}",
    )


def check(array: np.ndarray, spec: InputSpec, number: int) -> None:
    """Refuses an array of another shape, and one with NaN.

    Raises:
        CalibrationError: naming the batch and the input.
    """
    if array.ndim != len(spec.shape) or not all(map(_fits, array.shape, spec.shape)):
        raise CalibrationError(
            f"batch {number}: {spec.name} has shape {list(array.shape)}, the model takes {spec}",
            names=[spec.name],
        )
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise CalibrationError(
            f"batch {number}: {spec.name} contains NaN",
            names=[spec.name],
            hint="leave such samples out",
        )


def check_together(feed: Feed, inputs: Sequence[InputSpec], number: int) -> None:
    """Refuses inputs that disagree about a size that has one name.

    Raises:
        CalibrationError: naming the batch and both inputs.
    """
    seen: dict[str, tuple[int, str]] = {}
    for spec in inputs:
        for axis, name in enumerate(spec.names):
            if name is None:
                continue
            size = feed[spec.name].shape[axis]
            before, other = seen.setdefault(name, (size, spec.name))
            if before != size:
                raise CalibrationError(
                    f"batch {number}: {name} is {before} in {other} and {size} in {spec.name}",
                    names=[other, spec.name],
                    hint="give inputs of the same sizes, the rows of one belong to those of all",
                )


def _fits(size: int, wanted: Size) -> bool:
    return size == wanted if isinstance(wanted, int) else wanted[0] <= size <= wanted[1]
