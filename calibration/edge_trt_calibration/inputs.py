# SPDX-License-Identifier: Apache-2.0
"""What a model takes, and whether arrays fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_trt_calibration.errors import CalibrationError

Size = int | tuple[int, int]
"""A size of an input: a number, or the smallest and the largest of a range."""

Feed = dict[str, np.ndarray]

PIXEL = 255
"""The largest value of an image that the network normalizes itself."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the model takes under a name: a numpy type's name, and a size for every axis.

    `names` are those of the open sizes, None for others; sizes of one name are the same in all
    inputs of a batch. `pixels` says that the input is an image, with values from 0 to 255.
    `initial` is what a state begins with, which batches may leave out.
    """

    name: str
    dtype: str
    shape: tuple[Size, ...]
    names: tuple[str | None, ...] = ()
    pixels: bool = False
    initial: np.ndarray | None = field(default=None, compare=False)

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
    why = _misfit(array, wanted)
    raise CalibrationError(
        f"batch {number}: {spec.name} is {array.dtype}, the model takes {spec}{why}",
        names=[spec.name],
        hint=f"convert it to {spec.dtype}",
    )


def _misfit(array: np.ndarray, wanted: np.dtype[Any]) -> str:
    """Why values of an array are not those of an integer type, if that is so."""
    if array.dtype.kind not in "iuf" or wanted.kind not in "iu" or not array.size:
        return ""
    low, high, limits = float(array.min()), float(array.max()), np.iinfo(wanted)
    if not (limits.min <= low and high <= limits.max):
        return f", and it holds {low:g} to {high:g}, beyond {limits.min} to {limits.max}"
    whole = bool((array == np.rint(array)).all())
    return "" if whole else f", and it holds fractions from {low:g} to {high:g}"


def check(array: np.ndarray, spec: InputSpec, number: int) -> None:
    """Refuses an array of another shape, and one with NaN, infinity or what is no pixel.

    Raises:
        CalibrationError: naming the batch and the input.
    """
    if array.ndim != len(spec.shape) or not all(map(_fits, array.shape, spec.shape)):
        raise CalibrationError(
            f"batch {number}: {spec.name} has shape {list(array.shape)}, the model takes {spec}",
            names=[spec.name],
        )
    if array.dtype.kind == "f":
        _check_floats(array, spec, number)


def _check_floats(array: np.ndarray, spec: InputSpec, number: int) -> None:
    finite = np.isfinite(array)
    if not finite.all() and not _is_mask(array):
        what = "NaN" if np.isnan(array).any() else "infinity"
        raise CalibrationError(
            f"batch {number}: {spec.name} contains {what}",
            names=[spec.name],
            hint="leave such samples out",
        )
    if spec.pixels and array.size:
        low, high = float(array.min()), float(array.max())
        if low < 0 or high > PIXEL:
            raise CalibrationError(
                f"batch {number}: {spec.name} holds {low:g} to {high:g}, and the model takes "
                f"pixels from 0 to {PIXEL}",
                names=[spec.name],
                hint="give the images as they are read: the network normalizes them",
            )


def _is_mask(array: np.ndarray) -> bool:
    """Whether an array is zero and minus infinity, as one that is added to scores."""
    return bool(((array == 0) | (array == -np.inf)).all())


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
