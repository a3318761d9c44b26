# SPDX-License-Identifier: Apache-2.0
"""Data types by the names that a manifest uses."""

from __future__ import annotations

import numpy as np

NUMPY_DTYPES: dict[str, np.dtype] = {
    name: np.dtype(name)
    for name in (
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "float16", "float32", "float64", "complex64", "complex128",
    )
}  # fmt: skip
"""Types that a value between segments can have. numpy has no bfloat16 and no float8."""
