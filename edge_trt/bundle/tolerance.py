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
) -> tuple[float, float]:
    """(rtol, atol) for the recorded outputs.

    The absolute part follows the largest output, since an element near zero is a difference of
    large numbers, and its own size says nothing of its error.

    Args:
        precision: what the model was compiled to.
        vectors: recorded arrays; outputs have `/out/` in their names.
        types: what the model itself computes in, whatever the precision.
    """
    outputs = [a for name, a in vectors.items() if "/out/" in name and a.dtype.kind == "f"]
    largest = max(
        (float(np.max(np.abs(a[np.isfinite(a)]), initial=0)) for a in outputs), default=0.0
    )
    relative = max(BY_PRECISION[precision], *(BY_TYPE.get(name, 0.0) for name in types), 0.0)
    return relative, relative * largest
