# SPDX-License-Identifier: Apache-2.0
"""Outputs whose shape only the data tells: TensorRT asks for memory while it queues the plan.

It asks for the most that an output may take, which may be more than the bundle says it does. Then
memory of our own serves, which grows and is kept, and what is in it is copied to its place.
"""

from __future__ import annotations

import functools
from math import prod
from typing import TYPE_CHECKING, Any

from edge_trt_runtime.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.cuda.device import Memory
    from edge_trt_runtime.hybrid.arrays import DeviceSpace


class Outputs:
    """Places of a context's outputs that have no shape yet, and their shapes once they have.

    Attributes:
        shapes: By name, of the last run.
        error: What kept memory from being had; TensorRT swallows what its callbacks raise.
    """

    def __init__(self, device: Device, spaces: Mapping[str, DeviceSpace], segment: str) -> None:
        """Begin without memory beside ``spaces``."""
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.error: Exception | None = None
        self._device = device
        self._spaces = spaces
        self._segment = segment
        self._own: dict[str, tuple[int, Memory]] = {}
        self._used: dict[str, int] = {}

    def begin(self) -> None:
        """Forget the last run."""
        self.shapes.clear()
        self._used.clear()
        self.error = None

    def room(self, name: str, size: int) -> int:
        """Return the address of at least ``size`` bytes for an output; 0 when memory is short."""
        space = self._spaces[name]
        if size <= space.capacity:
            self._used.pop(name, None)
            return space.pointer
        try:
            if name not in self._own or self._own[name][0] < size:
                if name in self._own:
                    self._own.pop(name)[1].free()
                self._own[name] = (size, self._device.memory(size))
        except Exception as error:
            self.error = error
            return 0
        self._used[name] = self._own[name][1].pointer
        return self._used[name]

    def finish(self, stream: int) -> None:
        """Queue copies of what is not in its place on a stream, by its handle.

        Raises:
            EngineError: When an output is larger than the bundle says, or has no shape.
        """
        for name, space in self._spaces.items():
            shape = self.shapes.get(name)
            size = None if shape is None else prod(shape) * space.dtype.itemsize
            if size is None or size > space.capacity:
                told = "no shape" if shape is None else f"the shape {list(shape)}"
                raise EngineError(
                    f"segment {self._segment!r} gives {name!r} {told} where the bundle says at "
                    f"most {space.capacity} bytes",
                    segment=self._segment,
                    hint="build the bundle again",
                )
            if name in self._used:
                self._device.copy_on(stream, space.pointer, self._used[name], size)

    def close(self) -> None:
        """Give memory back; nothing of it may be in use."""
        for _, memory in self._own.values():
            memory.free()
        self._own.clear()


def allocator_of(trt: Any, outputs: Outputs) -> Any:
    """Return TensorRT's view of ``outputs``. A context gets one, once: each setting keeps it."""
    return _allocator_class(trt)(outputs)


@functools.cache
def _allocator_class(trt: Any) -> Any:
    class Allocator(trt.IOutputAllocator):
        """Hands on what TensorRT asks and tells."""

        def __init__(self, outputs: Outputs) -> None:
            trt.IOutputAllocator.__init__(self)  # without it the process crashes later
            self.outputs = outputs

        def reallocate_output(
            self, tensor_name: str, memory: int, size: int, alignment: int
        ) -> int:
            del memory, alignment  # all of our memory is aligned to 256 bytes
            return self.outputs.room(tensor_name, int(size))

        def reallocate_output_async(
            self, tensor_name: str, memory: int, size: int, alignment: int, stream: int
        ) -> int:
            del memory, alignment, stream
            return self.outputs.room(tensor_name, int(size))

        def notify_shape(self, tensor_name: str, shape: Any) -> None:
            self.outputs.shapes[tensor_name] = tuple(int(size) for size in shape)

    return Allocator
