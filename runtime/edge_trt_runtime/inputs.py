# SPDX-License-Identifier: Apache-2.0
"""Checking the inputs of a run against the signature.

The check itself is a short loop over precomputed rows, because it runs at every call; only when
something is wrong does :mod:`edge_trt_runtime.complaints` look for the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_trt_runtime.complaints import complain, is_mapping
from edge_trt_runtime.dtypes import NUMPY_DTYPES
from edge_trt_runtime.foreign import OnDevice, is_foreign, open_foreign

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.manifest import Range, Signature


class Checked(list[Any]):
    """Inputs some of which are :class:`edge_trt_runtime.foreign.OnDevice`."""


class InputChecker:
    """Accepts exactly the inputs that a signature describes."""

    __slots__ = ("_count", "_device", "_profiles", "_rows", "_signature")

    def __init__(self, signature: Signature, device: Device | None = None) -> None:
        """Precompute what to compare.

        Args:
            signature: Every input must have a type that numpy has.
            device: The GPU on which arrays of other libraries may lie.
        """
        self._signature = signature
        self._device = device
        self._count = len(signature.inputs)
        self._profiles = signature.profiles
        self._rows: list[_Row] = [
            (
                spec.name,
                NUMPY_DTYPES[spec.dtype],
                tuple(spec.shape) if all(isinstance(size, int) for size in spec.shape) else None,
                [_axis(signature, size) for size in spec.shape],
            )
            for spec in signature.inputs
        ]

    def check(self, inputs: Mapping[str, Any]) -> list[Any]:
        """Return the arrays in the signature's order; none is copied or changed.

        Args:
            inputs: An array for every input. Any memory layout will do, also read-only. Arrays of
                other libraries come back as numpy's, or as ``OnDevice`` in a list of the class
                :class:`Checked`.

        Raises:
            InputError: With what is wrong and how to mend it.
        """
        given: Any = inputs
        if not is_mapping(given):
            raise complain(self._signature, given)
        arrays: list[Any] = []
        sizes: dict[str, int] = {}
        for name, dtype, static, axes in self._rows:
            array: Any = given.get(name)
            if type(array) is not np.ndarray:
                if is_foreign(array):
                    return self._check_foreign(given)
                if not _is_plain(array):
                    raise complain(self._signature, given)
                if type(array) is not OnDevice:
                    array = np.asarray(array)
            if (array.dtype is not dtype and array.dtype != dtype) or (
                array.shape != static if static is not None else not _fits(array.shape, axes, sizes)
            ):
                raise complain(self._signature, given)
            arrays.append(array)
        if len(given) != self._count or (
            self._profiles and fitting_profile(self._profiles, sizes) is None
        ):
            raise complain(self._signature, given)
        return arrays

    def _check_foreign(self, given: Any) -> list[Any]:
        """Take arrays of other libraries where they lie, and check all as numpy's."""
        taken: dict[str, Any] = {
            name: open_foreign(value, f"input {name!r}", self._device)
            if is_foreign(value)
            else value
            for name, value in given.items()
        }
        arrays = self.check(taken)
        return Checked(arrays) if OnDevice in map(type, arrays) else arrays


def _is_plain(array: Any) -> bool:
    """Whether something is an array that holds nothing but elements."""
    return isinstance(array, (np.ndarray, OnDevice)) and not isinstance(array, np.ma.MaskedArray)


def fitting_profile(
    profiles: Sequence[Mapping[str, Range]], sizes: Mapping[str, int]
) -> int | None:
    """Return the number of the first profile that takes the sizes, or None."""
    for number, profile in enumerate(profiles):
        if all(profile[n].min <= size <= profile[n].max for n, size in sizes.items()):
            return number
    return None


# Least size, greatest size, what it is a multiple of, symbol shared with other axes.
_Axis = tuple[int, int, int, str | None]
_Row = tuple[str, np.dtype, tuple[int | str, ...] | None, list[_Axis]]
_ANY_SIZE = 1 << 62


def _axis(signature: Signature, size: int | str) -> _Axis:
    if isinstance(size, int):
        return size, size, 1, None
    range_ = signature.dims.get(size)
    # An expression such as "2*n" is opaque: the engine itself is left to refuse a wrong size.
    if range_ is None:
        return 0, _ANY_SIZE, 1, None
    return range_.min, range_.max, range_.step, size


def _fits(shape: tuple[int, ...], axes: list[_Axis], sizes: dict[str, int]) -> bool:
    """Compare a shape with ranges, and collect in ``sizes`` what each symbol stands for."""
    if len(shape) != len(axes):
        return False
    for size, (least, greatest, step, symbol) in zip(shape, axes, strict=True):
        if not least <= size <= greatest or size % step:
            return False
        if symbol is not None and sizes.setdefault(symbol, size) != size:
            return False
    return True
