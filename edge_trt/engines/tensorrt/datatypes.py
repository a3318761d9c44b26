# SPDX-License-Identifier: Apache-2.0
"""Element types, sizes and weights in TensorRT's terms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from edge_trt.network.types import Dim, DType

_NAMES = {
    DType.FLOAT32: "FLOAT",
    DType.FLOAT16: "HALF",
    DType.BFLOAT16: "BF16",
    DType.INT8: "INT8",
    DType.UINT8: "UINT8",
    DType.INT32: "INT32",
    DType.INT64: "INT64",
    DType.BOOL: "BOOL",
}


def data_type(trt: Any, dtype: DType) -> Any:
    """TensorRT's name of an element type."""
    return getattr(trt.DataType, _NAMES[dtype])


def dims(trt: Any, shape: Iterable[Dim]) -> Any:
    """A shape as `Dims`; symbolic sizes become -1."""
    return trt.Dims([size if isinstance(size, int) else -1 for size in shape])


def axes_mask(axes: Iterable[int]) -> int:
    """Axes as the bit mask that TensorRT's reductions take."""
    return sum(1 << axis for axis in axes)


def weights(trt: Any, array: np.ndarray, keep: list[np.ndarray]) -> Any:
    """An array as `Weights`, by address: TensorRT reads it while it builds and copies nothing.

    `keep` receives the array that must stay alive until then. A copy is made only of an array
    that is not contiguous or not aligned.
    """
    kind = data_type(trt, DType.of(array))
    if array.size == 0:
        return trt.Weights(kind)
    ready = np.require(array, requirements=["C_CONTIGUOUS", "ALIGNED"])
    keep.append(ready)
    return trt.Weights(kind, ready.ctypes.data, ready.size)
