# SPDX-License-Identifier: Apache-2.0
"""Values in device memory, and what an executor of a device is asked to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np


class DeviceView(NamedTuple):
    """A value in device memory, contiguous; PyTorch, CuPy and Numba take it without a copy."""

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype
    host: np.ndarray | None = None
    """The value as the host sees it, where the segment takes it in the host's memory."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3 of the protocol."""
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.pointer, False),
            "strides": None,
        }


class DeviceSpace(NamedTuple):
    """Room for a value whose shape a run will tell."""

    pointer: int
    capacity: int
    dtype: np.dtype
    host: np.ndarray | None = None
    """The room as bytes of the host, where the segment gives the value in the host's memory."""

    def array(self, shape: Sequence[int]) -> DeviceView:
        """Return the room as a value of a shape."""
        return DeviceView(self.pointer, tuple(shape), self.dtype)


class DeviceCall(Protocol):
    """A segment bound to addresses and shapes. One thread uses it at a time."""

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the wanted outputs; known after the first :meth:`enqueue`.

        Of a segment whose executor is ``variable``, they are those of the last one.
        """
        ...

    def enqueue(self) -> None:
        """Queue the segment on the stream that it was bound to.

        Raises:
            EngineError: When the library refuses or fails.
        """
        ...

    def close(self) -> None:
        """Give back what the call holds; nothing of it may be running."""
        ...


class DeviceExecutor(Protocol):
    """A segment loaded on a device. Several frames bind it, each for itself.

    Attributes:
        capturable: Whether a CUDA graph may hold it.
        scratch: Bytes of device memory that a call needs while it runs.
        variable: Whether shapes of outputs depend on values, and are new after every call.
    """

    capturable: bool
    scratch: int
    variable: bool

    def bind(
        self, inputs: list[DeviceView], outputs: list[DeviceSpace], stream: int, scratch: int
    ) -> DeviceCall:
        """Prepare calls at fixed addresses and shapes.

        Args:
            inputs: The segment's inputs in order.
            outputs: Room for its wanted outputs, as large as the bundle says they can be.
            stream: CUDA's handle of the stream that calls are queued on.
            scratch: Address of :attr:`scratch` bytes, used by nobody else while a call runs.

        Raises:
            EngineError: When the segment can't take such shapes.
        """
        ...

    def capture(self, work: Callable[[], None], stream: int) -> Captured | None:
        """Capture ``work`` by the segment's own library, or return None: CUDA's own will do."""
        ...

    def close(self) -> None:
        """Give back the engine."""
        ...


class Captured(Protocol):
    """A stretch of a stream that one call launches."""

    def launch(self) -> None:
        """Queue the stretch.

        Raises:
            EngineError: When the driver refuses.
        """
        ...

    def free(self) -> None:
        """Destroy it; none of its launches may be running."""
        ...
