# SPDX-License-Identifier: Apache-2.0
"""Results that stay on the GPU, and the memory that they are made of."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.foreign import LEGACY_STREAM

if TYPE_CHECKING:
    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.cuda.device import Memory

IDLE_BLOCKS = 16
"""How many blocks of memory a session keeps for results to come."""


class DeviceArray:
    """A result on the GPU, contiguous and complete; its memory is its own.

    PyTorch (``torch.as_tensor(array, device="cuda")``), CuPy and Numba take it without a copy and
    keep it alive meanwhile. When the last of them lets go of it, a later run may write there; that
    run waits for the default stream first. Who reads it on a non-blocking stream of his own keeps
    it until that is done.

    It has no ``__dlpack__``: who takes such a capsule may call back into Python when he lets go of
    it, and may do so after Python has gone.

    Attributes:
        shape: Sizes.
        dtype: Type of an element.
        nbytes: Bytes.
        pointer: Its address.
        device: Where it is: ``cuda:0``.
    """

    __slots__ = ("__weakref__", "_gpu", "dtype", "nbytes", "pointer", "shape")

    def __init__(self, gpu: Device, pointer: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Use ``Session.run(..., device_outputs=True)``."""
        self._gpu = gpu
        self.pointer = pointer
        self.shape = shape
        self.dtype = dtype
        self.nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize

    @property
    def device(self) -> str:
        """Where it is: ``cuda:0``."""
        return f"cuda:{self._gpu.ordinal}"

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3 of the protocol; no stream, as the run that made it is over."""
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.pointer if self.nbytes else 0, False),
            "strides": None,
            "stream": None,
        }

    def numpy(self) -> np.ndarray:
        """Return a copy in the host's memory."""
        array = np.empty(self.shape, self.dtype)
        if array.nbytes:
            with self._gpu:
                self._gpu.fetch(array, self.pointer)
        return array

    def __array__(self, *_: object, **__: object) -> NoReturn:
        """Refuse to become numpy's array unseen: it would be one of a single object."""
        raise TypeError("a DeviceArray is on the GPU: copy it to the host by its numpy()")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be copied or pickled: a second one would not hold the memory."""
        raise TypeError("a DeviceArray can't be copied or pickled: copy it by its numpy()")

    def __repr__(self) -> str:
        """Show what it is, and not what it holds."""
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype}, device={self.device!r})"


class Blocks:
    """Device memory for results, used again once nobody has them; several threads may take some.

    Results are given back by the garbage collector, in any thread and at any time. So that only
    appends to a queue, and memory is looked at when some is taken next.
    """

    def __init__(self, device: Device) -> None:
        """Begin without any."""
        self._device = device
        self._lock = threading.Lock()
        self._returned: deque[tuple[int, Memory]] = deque()
        self._idle: list[tuple[int, Memory]] = []
        self._closed = False

    def take(self, shape: tuple[int, ...], dtype: np.dtype, stream: Any) -> DeviceArray:
        """Return an array that ``stream`` may write to; the device must be current.

        Raises:
            EngineError: When memory is short.
        """
        size = max(1, int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        found = self._find(size)
        if found is None:
            found = (size, self._allocate(size))
        else:
            self._device.join(stream, LEGACY_STREAM)  # somebody may still be reading it there
        array = DeviceArray(self._device, found[1].pointer, shape, dtype)
        weakref.finalize(array, self._give, *found)
        return array

    def close(self) -> None:
        """Give idle memory back, and that of results as they go; the device must be current."""
        self._closed = True
        with self._lock:
            self._free_idle()

    def _allocate(self, size: int) -> Memory:
        try:
            return self._device.memory(size)
        except EngineError:
            with self._lock:  # blocks of other sizes may be what is short
                if not self._free_idle():
                    raise
            return self._device.memory(size)

    def _free_idle(self) -> int:
        """Give back what nobody has, and return how many blocks that was."""
        idle = self._drained()
        count = len(idle)
        while idle:
            idle.pop()[1].free()
        return count

    def _find(self, size: int) -> tuple[int, Memory] | None:
        """Take the smallest idle block that holds a size and is not much larger."""
        with self._lock:
            idle = self._drained()
            fits = [block for block in idle if size <= block[0] <= 2 * size]
            best = min(fits, key=lambda block: block[0], default=None)
            if best is not None:
                idle.remove(best)
            while len(idle) > IDLE_BLOCKS:
                idle.pop(0)[1].free()
            return best

    def _drained(self) -> list[tuple[int, Memory]]:
        while (block := self._next_returned()) is not None:
            self._idle.append(block)
        return self._idle

    def _next_returned(self) -> tuple[int, Memory] | None:
        try:
            return self._returned.popleft()
        except IndexError:
            return None

    def _give(self, size: int, memory: Memory) -> None:
        self._returned.append((size, memory))
        if self._closed and not self._device.lost:
            # Each block is taken from the queue once, by this thread or by the one that closes.
            with self._device:
                while (block := self._next_returned()) is not None:
                    block[1].free()
