# SPDX-License-Identifier: Apache-2.0
"""Input files of ``edge_trt run`` as arrays: numpy files as they are, images as the model wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_trt.image_files import IMAGES, image_batch
from edge_trt_runtime.errors import InputError
from edge_trt_runtime.names import did_you_mean

if TYPE_CHECKING:
    from edge_trt_runtime.manifest import Signature, TensorSpec


def read_inputs(signature: Signature, arguments: Sequence[str]) -> dict[str, np.ndarray]:
    """Read ``NAME=FILE`` arguments.

    The name may be left out if the model has one input. Several images for one input become its
    batch. A ``.npz`` file without a name gives every array it holds.

    Args:
        signature: Inputs of the bundle.
        arguments: The arguments as given.

    Returns:
        An array for every input that was named.

    Raises:
        InputError: An unknown name, a file that is no array or image, several arrays for a name.
    """
    arrays: dict[str, np.ndarray] = {}
    images: dict[str, list[Path]] = {}
    for argument in arguments:
        name, equals, file = argument.rpartition("=")
        path = Path(file)
        if not equals and path.suffix == ".npz":
            arrays.update(_read_npz(path))
            continue
        spec = _named(signature, name)
        if path.suffix.lower() in IMAGES:
            images.setdefault(spec.name, []).append(path)
        elif spec.name in arrays:
            raise InputError(f"two files for the input {spec.name!r}", hint="give one array file")
        else:
            arrays[spec.name] = _read_array(path)
    for name, paths in images.items():
        arrays[name] = image_batch(signature, _named(signature, name), paths)
    return arrays


def _named(signature: Signature, name: str) -> TensorSpec:
    if not name and len(signature.inputs) == 1:
        return signature.inputs[0]
    names = [spec.name for spec in signature.inputs]
    if not name:
        raise InputError("several inputs, and a file without a name", hint=f"names: {names}")
    if name not in names:
        raise InputError(f"unknown input {name!r}", name=name, hint=did_you_mean(name, names))
    return signature.inputs[names.index(name)]


def _read_array(path: Path) -> np.ndarray:
    if path.suffix != ".npy":
        raise InputError(
            f"can't read {str(path)!r}", hint=f"give .npy, .npz or an image ({', '.join(IMAGES)})"
        )
    return _load(path)


def _read_npz(path: Path) -> Mapping[str, np.ndarray]:
    return dict(_load(path).items())


def _load(path: Path) -> Any:
    try:
        # Object arrays are pickles, which may run code.
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"{path} is not a numpy file of numbers: {error}") from error
