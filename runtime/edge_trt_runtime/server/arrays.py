# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests as arrays, and back: files of numpy, which every language can write."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from edge_trt_runtime.errors import InputError

if TYPE_CHECKING:
    from edge_trt_runtime.manifest import Signature

_HINT = "send a .npz file with an array for each input, or the .npy file of the only one"


def decode(body: bytes, signature: Signature, limit: int) -> dict[str, np.ndarray]:
    """Read the inputs of a run.

    Args:
        body: A ``.npz`` file, or a ``.npy`` file for the only input. Pickles are refused.
        signature: Inputs of the bundle.
        limit: Bytes that the arrays may take; compressed files can promise more than they are.

    Raises:
        InputError: The body is something else, or too large.
    """
    try:
        if body[:4] == b"PK\x03\x04":
            _check_size(body, limit)
            with np.load(io.BytesIO(body), allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        if body[:6] == b"\x93NUMPY":
            array = np.load(io.BytesIO(body), allow_pickle=False)
            return {_only(signature): array}
    except InputError:
        raise
    except Exception as error:  # zlib, zipfile and numpy have many, and the body is a stranger's
        raise InputError(f"the body can't be read: {error}", hint=_HINT) from error
    raise InputError("the body is no file of numpy", hint=_HINT)


def encode(outputs: dict[str, np.ndarray]) -> bytes:
    """Write the outputs of a run as a ``.npz`` file."""
    file = io.BytesIO()
    np.savez(file, **outputs)  # type: ignore[arg-type]
    return file.getvalue()


def _check_size(body: bytes, limit: int) -> None:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > limit:
        raise InputError(f"the arrays take {size} bytes, and {limit} are allowed")


def _only(signature: Signature) -> str:
    names = [spec.name for spec in signature.inputs]
    if len(names) != 1:
        raise InputError(f"one array for {len(names)} inputs", hint=f"send a .npz with {names}")
    return names[0]
