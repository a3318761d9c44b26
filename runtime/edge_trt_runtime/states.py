# SPDX-License-Identifier: Apache-2.0
"""The first values of a model's states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_trt_runtime.dtypes import NUMPY_DTYPES
from edge_trt_runtime.errors import BundleError
from edge_trt_runtime.vectors import read_tensors

if TYPE_CHECKING:
    import numpy as np

    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.manifest import TensorSpec


def read_states(bundle: OpenBundle, path: str) -> dict[str, np.ndarray]:
    """Return a copy of the first value of every state of ``bundle``, by the name of its input.

    Args:
        bundle: The bundle, whose manifest was checked.
        path: The file in it that holds them.

    Raises:
        BundleError: When one is missing, or of another type or shape than the input.
    """
    arrays = read_tensors(bundle.path(path))
    specs = {spec.name: spec for spec in bundle.manifest.signature.inputs}
    names = [state.input for state in bundle.manifest.signature.states]
    for name in names:
        array = arrays.get(name)
        if array is None or not _fits(array, specs[name]):
            what = "is missing" if array is None else f"is {array.dtype}{list(array.shape)}"
            raise BundleError(
                f"the first value of the state {name!r} in {path!r} of {bundle.root} {what}",
                bundle=bundle.root,
                file=path,
                hint="build the bundle again",
            )
    return {name: arrays[name].copy() for name in names}


def _fits(array: np.ndarray, spec: TensorSpec) -> bool:
    """Whether an array is of the type of an input, whatever its sizes that are ranges."""
    if array.dtype != NUMPY_DTYPES[spec.dtype] or array.ndim != len(spec.shape):
        return False
    sizes = zip(array.shape, spec.shape, strict=True)
    return all(got == size for got, size in sizes if isinstance(size, int))
