# SPDX-License-Identifier: Apache-2.0
"""How far an engine may be from eager PyTorch and still pass its self-test."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

RELATIVE = {"fp32": 1e-3, "fp16": 2e-2, "int8": 1e-1}
"""By precision: rounding of the type, times what tens of layers make of it."""


def tolerance(precision: str, vectors: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """(rtol, atol) for the recorded outputs.

    The absolute part follows the largest output, since an element near zero is a difference of
    large numbers, and its own size says nothing of its error.
    """
    outputs = [a for name, a in vectors.items() if "/out/" in name and a.dtype.kind == "f"]
    largest = max(
        (float(np.nanmax(np.abs(a[np.isfinite(a)]), initial=0)) for a in outputs), default=0
    )
    relative = RELATIVE[precision]
    return relative, relative * largest
