# SPDX-License-Identifier: Apache-2.0
"""How large a value can be, from what its bundle says of its shape."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from edge_trt_runtime.dtypes import NUMPY_DTYPES

if TYPE_CHECKING:
    from edge_trt_runtime.manifest import Manifest, TensorSpec


def greatest_size(manifest: Manifest, spec: TensorSpec) -> int | None:
    """Return the bytes that a value needs at most, or None when the bundle does not say."""
    limits = [size if isinstance(size, int) else _limit(manifest, size) for size in spec.shape]
    sizes = [limit for limit in limits if limit is not None]
    if len(sizes) != len(limits):
        return None
    return prod(sizes) * NUMPY_DTYPES[spec.dtype].itemsize


def _limit(manifest: Manifest, name: str) -> int | None:
    range_ = manifest.signature.dims.get(name)
    return manifest.greatest.get(name) if range_ is None else range_.max
