# SPDX-License-Identifier: Apache-2.0
"""One GPU through PyCUDA: its primary context, streams, events, memory and copies.

The primary context is the one that TensorRT and PyTorch use as well, so pointers and streams may
be handed to them. It is current only inside ``with device:``, which every thread may enter, also
within itself, and which leaves nothing on PyCUDA's context stack however it ends: a thread that
dies with a context on that stack takes the process with it.
"""

from __future__ import annotations

import importlib
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_trt_runtime.cuda.failures import explain
from edge_trt_runtime.errors import EngineError

if TYPE_CHECKING:
    from types import TracebackType

    from edge_trt_runtime.cuda.graph import Graph

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: does not wait for the legacy default stream

_devices: dict[int, Device] = {}
_opening = threading.Lock()
_forked = False


def _after_fork() -> None:
    global _forked
    _forked = _forked or bool(_devices)  # a parent that has not used CUDA leaves it to the child


os.register_at_fork(after_in_child=_after_fork)


def open_device(ordinal: int = 0) -> Device:
    """Return the GPU with a number, the same object every time.

    Raises:
        EngineError: When PyCUDA or the driver is missing, there is no such GPU, or this process
            was forked from one that used CUDA.
    """
    _refuse_fork()
    with _opening:
        if ordinal not in _devices:
            _devices[ordinal] = Device(_driver(ordinal), ordinal)
        return _devices[ordinal]


class Memory:
    """Device memory.

    Attributes:
        pointer: Its address on the device.
    """

    __slots__ = ("_allocation", "pointer")

    def __init__(self, driver: Any, size: int) -> None:
        """Allocate; the device must be current."""
        self._allocation = driver.mem_alloc(max(1, size))
        self.pointer = int(self._allocation)

    def free(self) -> None:
        """Give it back; the device must be current."""
        self._allocation.free()


class PinnedMemory:
    """Page-locked host memory, which the device copies from and to without a detour.

    Attributes:
        array: Its bytes, as the host sees them.
        pointer: Its address on the device where it was asked to be mapped, else 0.
    """

    __slots__ = ("_allocation", "array", "pointer")

    def __init__(self, driver: Any, size: int, *, mapped: bool) -> None:
        """Allocate; the device must be current."""
        flags = driver.host_alloc_flags.DEVICEMAP if mapped else 0
        array = driver.pagelocked_empty(max(1, size), np.uint8, mem_flags=flags)
        self._allocation = array.base
        self.array: np.ndarray = array
        self.pointer = int(array.base.get_device_pointer()) if mapped else 0

    def free(self) -> None:
        """Give it back; no view of :attr:`array` may be used after that."""
        self._allocation.free()


class Timer:
    """Two events on a stream, and the time between them."""

    __slots__ = ("_begin", "_end")

    def __init__(self, driver: Any) -> None:
        """Make the events; the device must be current."""
        self._begin, self._end = driver.Event(), driver.Event()

    def begin(self, stream: Any) -> None:
        """Measure what is queued from now on."""
        self._begin.record(stream)

    def end(self, stream: Any) -> None:
        """Measure up to here."""
        self._end.record(stream)

    def seconds(self) -> float:
        """Return the time between; the end has to be over."""
        return self._begin.time_till(self._end) * 1e-3


class Device:
    """A GPU. Its methods, but for :meth:`describe`, want to be called within ``with device:``.

    Attributes:
        ordinal: CUDA's number of it.
        name: As the driver calls it.
        capability: Compute capability, such as ``(8, 7)``.
        integrated: Whether it shares the host's memory, as on a Jetson.
    """

    def __init__(self, driver: Any, ordinal: int) -> None:
        """Use :func:`open_device`."""
        device = driver.Device(ordinal)
        attributes = driver.device_attribute
        self._driver = driver
        self._pop = driver.Context.pop
        self.ordinal = ordinal
        self.name: str = device.name()
        self.capability: tuple[int, int] = device.compute_capability()
        self.integrated = bool(device.get_attribute(attributes.INTEGRATED))
        try:
            self._context = device.retain_primary_context()
        except driver.Error as error:
            raise explain(error, "the GPU could not be taken into use") from error
        self._push = self._context.push

    def __enter__(self) -> Device:
        """Make the device current in this thread."""
        if _forked:
            _refuse_fork()
        self._push()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Make current what was current before, and put CUDA's errors into our words."""
        self._pop()
        if isinstance(error, Exception) and isinstance(error, self._driver.Error):
            raise explain(error, f"{self.name} failed") from error

    @property
    def lost(self) -> bool:
        """Whether it was in use when this process was forked, and so is out of reach here."""
        return _forked

    def describe(self) -> str:
        """Return name, number and compute capability: ``cuda:0 (Orin, sm_87)``."""
        major, minor = self.capability
        return f"cuda:{self.ordinal} ({self.name}, sm_{major}{minor})"

    def stream(self) -> Any:
        """Make a stream; what PyCUDA calls one, with its CUDA handle in ``handle``."""
        return self._driver.Stream(_NON_BLOCKING)

    def event(self) -> Any:
        """Make an event, with ``record(stream)``, ``synchronize()`` and ``query()``."""
        return self._driver.Event(self._driver.event_flags.DISABLE_TIMING)

    def timer(self) -> Timer:
        """Make what measures the time of queued work."""
        return Timer(self._driver)

    def memory(self, size: int) -> Memory:
        """Allocate device memory.

        Raises:
            EngineError: When there is not enough; the text says how much is short.
        """
        try:
            return Memory(self._driver, size)
        except self._driver.MemoryError as error:
            free, _ = self.free_memory()
            raise _shortage(size, free, self.describe()) from error

    def pinned(self, size: int, *, mapped: bool = False) -> PinnedMemory:
        """Allocate page-locked host memory, ``mapped`` for the device to read in place."""
        return PinnedMemory(self._driver, size, mapped=mapped)

    def free_memory(self) -> tuple[int, int]:
        """Return free and total bytes of device memory."""
        return self._driver.mem_get_info()

    def upload(self, pointer: int, array: np.ndarray, stream: Any) -> None:
        """Queue a copy of a contiguous array in pinned memory to the device."""
        if array.nbytes:
            self._driver.memcpy_htod_async(pointer, array, stream)

    def download(self, array: np.ndarray, pointer: int, stream: Any) -> None:
        """Queue a copy from the device to a contiguous array in pinned memory."""
        if array.nbytes:
            self._driver.memcpy_dtoh_async(array, pointer, stream)

    def copy(self, target: int, source: int, size: int, stream: Any) -> None:
        """Queue a copy of bytes within the device."""
        if size:
            self._driver.memcpy_dtod_async(target, source, size, stream)

    def copy_on(self, handle: int, target: int, source: int, size: int) -> None:
        """Queue the same on a stream of which only CUDA's handle is known."""
        from edge_trt_runtime.cuda import others

        if size and not others.copy(target, source, size, handle):
            self._driver.Context.synchronize()
            self._driver.memcpy_dtod(target, source, size)

    def fetch(self, array: np.ndarray, pointer: int) -> None:
        """Copy from the device to a contiguous array of the host, and wait for it."""
        self._driver.memcpy_dtoh(array, pointer)

    def put(self, pointer: int, array: np.ndarray) -> None:
        """Copy a contiguous array of the host to the device, and wait for it."""
        self._driver.memcpy_htod(pointer, array)

    def join(self, stream: Any, handle: int) -> None:
        """Let what is queued on ``stream`` from now on wait for what is on another library's.

        Args:
            stream: One of ours.
            handle: CUDA's handle of the other. Without cuda-bindings the host waits for the
                whole device instead, as PyCUDA knows its own streams only.
        """
        from edge_trt_runtime.cuda import others

        if not others.join(int(stream.handle), handle):
            self._driver.Context.synchronize()

    def owner_of(self, pointer: int) -> int | None:
        """Return the number of the GPU that an address belongs to, or None where it is of none.

        Without cuda-bindings nobody can tell, and it is taken for one of this device.
        """
        from edge_trt_runtime.cuda import others

        return others.owner_of(pointer, self.ordinal)

    def wait(self, stream: Any, event: Any) -> None:
        """Let what is queued on a stream from now on wait for an event."""
        stream.wait_for_event(event)

    def capture(self, work: Any, stream: Any) -> Graph:
        """Record what ``work()`` queues on ``stream`` as a graph, running none of it.

        Raises:
            EngineError: When cuda-bindings is missing, or something in it can't be captured.
        """
        from edge_trt_runtime.cuda.graph import capture

        return capture(work, int(stream.handle))


def _driver(ordinal: int) -> Any:
    """Import PyCUDA and start the driver."""
    try:
        driver: Any = importlib.import_module("pycuda.driver")
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("pycuda")
        raise EngineError(
            "PyCUDA is not installed" if missing else f"PyCUDA can't be imported ({error})",
            hint="pip install 'edge-trt-runtime[jetson]', or use device='cpu'"
            if missing
            else "it needs the NVIDIA driver, and a build for this CUDA version",
        ) from error
    try:
        driver.init()
        count = driver.Device.count()
    except driver.Error as error:
        raise explain(error, "the NVIDIA driver could not be started") from error
    if ordinal >= count:
        here = f"{count} GPU{'s' * (count != 1)}"
        raise EngineError(
            f"there is no cuda:{ordinal}: this machine has {here}", hint="count from 0"
        )
    return driver


def _refuse_fork() -> None:
    if _forked:
        raise EngineError(
            "CUDA was in use when this process was forked, and can't be used in the child",
            hint="start workers with multiprocessing's 'spawn' method, or load the bundle in them",
        )


def _shortage(size: int, free: int, device: str) -> EngineError:
    return EngineError(
        f"{device} has {free / 1e6:.1f} MB free, and {size / 1e6:.1f} MB are needed: "
        f"{max(0, size - free) / 1e6:.1f} MB short",
        hint="close other sessions or programs, use fewer frames in flight, or build with a "
        "smaller largest size",
    )
