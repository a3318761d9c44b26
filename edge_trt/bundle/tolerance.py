# SPDX-License-Identifier: Apache-2.0
"""How far an engine may be from eager PyTorch and still pass its self-test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

BY_PRECISION = {"fp32": 1e-3, "fp16": 2e-2, "int8": 1e-1}
BY_TYPE = {"float16": 2e-2, "bfloat16": 1e-1}
"""Rounding of the type, times what tens of layers make of it."""


def tolerance(
    precision: str, vectors: Mapping[str, np.ndarray], types: Iterable[str] = ()
) -> tuple[float, dict[str, float]]:
    """(rtol, atol by output) for the recorded outputs.

    The absolute part follows an output's largest element, since an element near zero is a
    difference of large numbers, and its own size says nothing of its error.

    Args:
        precision: what the model was compiled to.
        vectors: recorded arrays; those of outputs are named `<case>/out/<name>`.
        types: what the model itself computes in, whatever the precision.
    """
    relative = max(BY_PRECISION[precision], *(BY_TYPE.get(name, 0.0) for name in types), 0.0)
    absolute: dict[str, float] = {}
    for name, array in vectors.items():
        _, kind, output = name.split("/", 2)
        if kind == "out":
            absolute[output] = max(absolute.get(output, 0.0), relative * _largest(array))
    return relative, absolute


def _largest(array: np.ndarray) -> float:
    """Largest finite magnitude; 0 for whole numbers, which are right or wrong."""
    if array.dtype.kind != "f":
        return 0.0
    return float(np.max(np.abs(array[np.isfinite(array)]), initial=0))
