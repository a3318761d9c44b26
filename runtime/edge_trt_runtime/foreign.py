# SPDX-License-Identifier: Apache-2.0
"""Arrays of other libraries, taken where they lie: in the host's memory or on the GPU.

An array says what it is by DLPack, or by ``__cuda_array_interface__``. DLPack is asked first: it
names the GPU, and its owner makes our stream wait for what he has queued.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from edge_trt_runtime.dlpack import read_capsule
from edge_trt_runtime.errors import InputError

if TYPE_CHECKING:
    from edge_trt_runtime.cuda import Device

LEGACY_STREAM = 1
"""CUDA's name of the default stream, which waits for all streams but the non-blocking ones."""

_ON_HOST = (1, 3)  # kDLCPU, kDLCUDAHost: numpy takes both
_ON_GPU = (2, 13)  # kDLCUDA, kDLCUDAManaged
_NO_SYNC = -1  # `stream` of __dlpack__: the memory is not read yet


class HasDlpack(Protocol):
    """What a tensor of PyTorch, CuPy, JAX and others is."""

    def __dlpack__(self, *, stream: Any = ...) -> Any:
        """Return a capsule."""
        ...

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return kind and number of the device."""
        ...


class HasCudaArrayInterface(Protocol):
    """What an array of Numba, jetson-utils, VPI and others is."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Where it lies, and what it holds."""
        ...


class OnDevice:
    """An array of another library in a GPU's memory, contiguous.

    Attributes:
        owner: The array itself.
        pointer: Its address.
        shape: Sizes.
        dtype: Type of an element.
        read_only: Whether its owner says that nobody should write to it.
    """

    __slots__ = ("_keep", "_stream", "dtype", "owner", "pointer", "read_only", "shape")

    def __init__(
        self,
        owner: Any,
        pointer: int,
        shape: tuple[int, ...],
        dtype: np.dtype,
        *,
        read_only: bool = False,
        stream: int | None = None,
        keep: object = None,
    ) -> None:
        """Use :func:`open_foreign`; ``keep`` is what must live while the memory is used."""
        self.owner = owner
        self.pointer = pointer
        self.shape = shape
        self.dtype = dtype
        self.read_only = read_only
        self._stream = stream
        self._keep = keep

    @property
    def ndim(self) -> int:
        """How many dimensions it has."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Its bytes."""
        return prod(self.shape) * self.dtype.itemsize

    def join(self, device: Device, stream: Any) -> None:
        """Let what is queued on ``stream`` from now on wait for what its owner has queued."""
        if self._keep is not None:
            self._keep = self.owner.__dlpack__(stream=int(stream.handle))
        elif self._stream is not None:
            device.join(stream, self._stream)


def is_foreign(value: object) -> bool:
    """Whether something is an array of another library."""
    return not isinstance(value, np.ndarray) and (
        hasattr(value, "__dlpack_device__") or hasattr(value, "__cuda_array_interface__")
    )


def is_on_gpu(value: Any) -> bool:
    """Whether something is an array of another library, and not in the host's memory."""
    return is_foreign(value) and _place(value)[0] not in _ON_HOST


def open_foreign(value: Any, what: str, device: Device | None) -> np.ndarray | OnDevice:
    """Take an array where it lies; nothing is copied.

    Args:
        value: The array.
        what: Such as ``"input 'x'"``, for errors.
        device: The GPU of the session, or None.

    Returns:
        A numpy array over the memory of one on the host, else an array on ``device``.

    Raises:
        InputError: When it lies elsewhere, is not contiguous, or its owner refuses.
    """
    kind, ordinal = _refusing(what, value, lambda: _place(value))
    if kind in _ON_HOST:
        return _refusing(what, value, lambda: np.from_dlpack(value))
    if device is None:
        raise InputError(
            f"{what} is on a GPU, and this session runs on the CPU",
            hint="copy it to the host first, as tensor.cpu() does, or load with device='cuda:0'",
        )
    if kind is not None and kind not in _ON_GPU:
        raise InputError(
            f"{what} is on a device of DLPack's kind {kind}, which is neither the host nor CUDA's",
            hint="copy it to the host first",
        )
    taken = _refusing(what, value, lambda: _by_dlpack(value) if kind else _by_interface(value))
    if ordinal is None and taken.nbytes:
        with device:
            ordinal = device.owner_of(taken.pointer)
        if ordinal is None:
            raise InputError(
                f"{what} says that it is at {taken.pointer:#x}, which is no memory of CUDA's",
                hint="was its memory given back?",
            )
    if ordinal is not None and ordinal != device.ordinal:
        raise InputError(
            f"{what} is on cuda:{ordinal}, and this session runs on cuda:{device.ordinal}",
            hint=f"copy it there first, as tensor.to('cuda:{device.ordinal}') does",
        )
    return taken


def _refusing(what: str, value: object, take: Any) -> Any:
    """Put what an owner or numpy says into our words; they raise whatever they like."""
    try:
        return take()
    except InputError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        kind = type(value)
        raise InputError(
            f"{what} can't be taken from {kind.__module__}.{kind.__qualname__} ({reason})",
            hint="pass a dense array of a type that numpy has, as tensor.detach().contiguous() is",
        ) from error


def _place(value: Any) -> tuple[int | None, int | None]:
    """Return DLPack's kind and number of a device; both None where it is not said."""
    if not hasattr(value, "__dlpack_device__"):
        return None, None
    kind, ordinal = value.__dlpack_device__()
    return int(kind), int(ordinal)


def _by_dlpack(value: Any) -> OnDevice:
    capsule = value.__dlpack__(stream=_NO_SYNC)
    pointer, shape, strides, dtype = read_capsule(capsule)
    if strides is not None:
        _check_dense(shape, [stride * dtype.itemsize for stride in strides], dtype)
    return OnDevice(value, pointer, shape, dtype, keep=capsule)


def _by_interface(value: Any) -> OnDevice:
    said = value.__cuda_array_interface__
    if said.get("mask") is not None:
        raise ValueError("it has a mask")
    dtype = np.dtype(said["typestr"])
    shape = tuple(int(size) for size in said["shape"])
    if said.get("strides") is not None:
        _check_dense(shape, said["strides"], dtype)
    pointer, read_only = said["data"]
    # Who says no stream made it on the default one, we assume; None says that it is complete.
    stream = said.get("stream", LEGACY_STREAM) if said.get("version", 0) >= 3 else LEGACY_STREAM
    return OnDevice(value, int(pointer or 0), shape, dtype, read_only=read_only, stream=stream)


def _check_dense(shape: tuple[int, ...], strides: Any, dtype: np.dtype) -> None:
    """Refuse what is not contiguous; strides are in bytes."""
    expected = dtype.itemsize
    for size, stride in zip(reversed(shape), reversed([*strides]), strict=True):
        if size > 1 and stride != expected and prod(shape):
            raise ValueError(f"it is not contiguous: strides {[*strides]} of shape {list(shape)}")
        expected *= size
