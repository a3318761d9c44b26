# SPDX-License-Identifier: Apache-2.0
"""A GPU that is none: memory in numpy, streams as queues, and only the order that CUDA promises.

What is queued runs when somebody waits for it, and in an order drawn at random among all those that
streams and events allow: a missing wait or memory that is shared too early gives wrong numbers in
some draw. It shows nothing of CUDA's own behaviour; `tests/gpu` does.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from edge_trt_runtime.foreign import LEGACY_STREAM
from edge_trt_runtime.hybrid.arrays import DeviceSpace, DeviceView

FIRST_HANDLE = 1000
"""Above the handles that CUDA has names for."""


class Stream:
    """A queue of work; while it is captured, work goes into the graph."""

    def __init__(self, device: FakeDevice) -> None:
        self.device = device
        self.work: deque[Callable[[], object] | Event] = deque()
        self.captured: list[Callable[[], object]] | None = None
        device.streams.append(self)
        self.handle = FIRST_HANDLE + len(device.streams)

    def queue(self, work: Callable[[], object]) -> None:
        self.device.note("queue")
        if self.captured is not None:
            self.captured.append(work)
        else:
            self.work.append(work)

    def synchronize(self) -> None:
        assert self.captured is None, "synchronized while capturing"
        self.device.note("drain")
        self.device.run_until(lambda: not self.work)


class Event:
    """Over when the work that was queued before its last recording is."""

    def __init__(self, device: FakeDevice) -> None:
        self.device = device
        self.recorded = self.reached = 0

    def record(self, stream: Stream) -> None:
        assert stream.captured is None, "recorded while capturing"
        self.device.note("record")
        self.recorded += 1
        number = self.recorded

        def reach() -> None:
            self.reached = number

        stream.work.append(reach)

    def synchronize(self) -> None:
        self.device.note("synchronize")
        number = self.recorded
        self.device.run_until(lambda: self.reached >= number)


class Timer:
    """Counts what is done between, a millisecond each."""

    def __init__(self, device: FakeDevice) -> None:
        self.device, self.times = device, [0, 0]

    def begin(self, stream: Stream) -> None:
        self._note(stream, 0)

    def end(self, stream: Stream) -> None:
        self._note(stream, 1)

    def seconds(self) -> float:
        return (self.times[1] - self.times[0]) * 1e-3

    def _note(self, stream: Stream, place: int) -> None:
        def note() -> None:
            self.device.clock -= 1  # an event itself takes no time
            self.times[place] = self.device.clock

        stream.work.append(note)


class Gate:
    """Holds a stream until an event, as it was recorded by then, is over."""

    def __init__(self, event: Event) -> None:
        self.event, self.number = event, event.recorded

    @property
    def open(self) -> bool:
        return self.event.reached >= self.number


class Allocation:
    """Bytes with an address; full of garbage at first."""

    def __init__(self, device: FakeDevice, size: int, *, mapped: bool = True) -> None:
        self.device, self.size = device, size
        self.array = np.full(max(1, size), 0xA5, np.uint8)
        self.address = device.next_address
        self.pointer = self.address if mapped else 0
        device.next_address += -(-max(1, size) // 4096) * 4096
        device.allocations[self.address] = self.array
        device.note("allocate")

    def free(self) -> None:
        del self.device.allocations[self.address]


class Graph:
    """Captured work, to be queued at once."""

    def __init__(self, work: list[Callable[[], object]], stream: Stream) -> None:
        self.work, self.stream = work, stream
        stream.device.graphs += 1

    def launch(self) -> None:
        self.stream.device.note("launch")
        self.stream.work.extend(self.work)

    def free(self) -> None:
        self.stream.device.graphs -= 1


class FakeDevice:
    """What :class:`edge_trt_runtime.cuda.Device` offers.

    Attributes:
        counts: How often each kind of call was made.
        others: Streams of other libraries, for which the default stream waits.
        elsewhere: Addresses of other devices' memory, with their numbers.
        fails: Called with every kind of call; may raise.
        lost: Whether this is said to be a forked child.
    """

    def __init__(self, seed: int = 0, *, integrated: bool = False) -> None:
        self.ordinal, self.name, self.capability = 0, "Fake", (8, 7)
        self.integrated, self.lost = integrated, False
        self.random = random.Random(seed)
        self.working = threading.RLock()
        self.streams: list[Stream] = []
        self.others: list[Stream] = []
        self.elsewhere: dict[int, int] = {}
        self.allocations: dict[int, np.ndarray] = {}
        self.next_address = 1 << 20
        self.graphs = self.depth = self.clock = 0
        self.counts: dict[str, int] = {}
        self.fails: Callable[[str], None] = lambda kind: None

    def __enter__(self) -> FakeDevice:
        assert not self.lost, "used in a forked child"
        self.depth += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.depth -= 1

    def note(self, kind: str) -> None:
        assert self.depth > 0, f"{kind} without the device being current"
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.fails(kind)

    def describe(self) -> str:
        return "cuda:0 (Fake, sm_87)"

    def stream(self) -> Stream:
        return Stream(self)

    def by_handle(self, handle: int) -> Stream:
        (found,) = [stream for stream in self.streams if stream.handle == handle]
        return found

    def event(self) -> Event:
        return Event(self)

    def timer(self) -> Timer:
        return Timer(self)

    def memory(self, size: int) -> Allocation:
        return Allocation(self, size)

    def pinned(self, size: int, *, mapped: bool = False) -> Allocation:
        return Allocation(self, size, mapped=mapped)

    def free_memory(self) -> tuple[int, int]:
        return 1 << 30, 1 << 30

    def upload(self, pointer: int, array: np.ndarray, stream: Stream) -> None:
        self.note("upload")
        stream.queue(lambda: self.write(pointer, array))

    def download(self, array: np.ndarray, pointer: int, stream: Stream) -> None:
        self.note("download")
        stream.queue(lambda: np.copyto(array, self.read(pointer, array.shape, array.dtype)))

    def copy(self, target: int, source: int, size: int, stream: Stream) -> None:
        self.note("copy")
        kind = np.dtype(np.uint8)
        stream.queue(lambda: self.write(target, self.read(source, (size,), kind)))

    def copy_on(self, handle: int, target: int, source: int, size: int) -> None:
        self.copy(target, source, size, self.by_handle(handle))

    def fetch(self, array: np.ndarray, pointer: int) -> None:
        self.note("fetch")
        np.copyto(array, self.read(pointer, array.shape, array.dtype))

    def put(self, pointer: int, array: np.ndarray) -> None:
        self.note("put")
        self.write(pointer, array)

    def join(self, stream: Stream, handle: int) -> None:
        """The default stream waits for those that others made, which are all blocking here."""
        self.note("join")
        others = self.others if handle == LEGACY_STREAM else [self.by_handle(handle)]
        for other in others:
            event = Event(self)
            event.record(other)
            stream.work.append(Gate(event))  # type: ignore[arg-type]

    def owner_of(self, pointer: int) -> int | None:
        """All memory is of one device, but what a test says is elsewhere."""
        if pointer in self.elsewhere:
            return self.elsewhere[pointer]
        return 0 if any(a <= pointer < a + len(m) for a, m in self.allocations.items()) else None

    def wait(self, stream: Stream, event: Event) -> None:
        assert stream.captured is None, "waits while capturing"
        self.note("wait")
        stream.work.append(Gate(event))  # type: ignore[arg-type]

    def capture(self, work: Callable[[], None], stream: Stream) -> Graph:
        self.note("capture")
        stream.captured = []
        try:
            work()
            return Graph(stream.captured, stream)
        finally:
            stream.captured = None

    def read(self, pointer: int, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """The value at an address, as it is now."""
        known = [*self.allocations]  # other threads allocate meanwhile
        start = max(address for address in known if address <= pointer)
        offset = pointer - start
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        assert offset + size <= self.allocations[start].size, "reads beyond an allocation"
        return np.ndarray(shape, dtype, self.allocations[start].data, offset)

    def write(self, pointer: int, array: np.ndarray) -> None:
        """Puts a value at an address, now."""
        np.copyto(self.read(pointer, array.shape, array.dtype), array)

    def run_until(self, done: Callable[[], bool]) -> None:
        """Runs queued work in some order that streams and events allow."""
        with self.working:  # what one thread has begun is not over for another one
            self._run_until(done)

    def _run_until(self, done: Callable[[], bool]) -> None:
        while not done():
            ready = [s for s in self.streams if s.work and getattr(s.work[0], "open", True)]
            assert ready, "waits for something that nothing will do"
            work = self.random.choice(ready).work.popleft()
            if not isinstance(work, Gate):
                self.clock += 1
                work()  # type: ignore[operator]


class FakeExecutor:
    """A segment of numpy functions that reads and writes device memory when its turn comes."""

    def __init__(
        self,
        device: FakeDevice,
        function: Callable[[list[np.ndarray]], list[np.ndarray]],
        *,
        capturable: bool = True,
    ) -> None:
        self.device, self.function, self.capturable = device, function, capturable
        self.calls = self.scratch = 0
        self.variable = False
        self.closed = False

    def bind(
        self, inputs: list[DeviceView], outputs: list[DeviceSpace], stream: int, scratch: int
    ) -> FakeCall:
        del scratch
        self.calls += 1
        return FakeCall(self, inputs, outputs, self.device.by_handle(stream))

    def capture(self, work: Any, stream: int) -> None:
        del work, stream

    def close(self) -> None:
        assert self.calls == 0, "closed before its calls"
        self.closed = True


class FakeCall:
    """A bound :class:`FakeExecutor`."""

    def __init__(
        self,
        executor: FakeExecutor,
        inputs: list[DeviceView],
        outputs: list[DeviceSpace],
        stream: Stream,
    ) -> None:
        self.executor, self.inputs, self.outputs, self.stream = executor, inputs, outputs, stream
        shaped = executor.function([np.zeros(a.shape, a.dtype) for a in inputs])
        self.shapes = [array.shape for array in shaped]

    def enqueue(self) -> None:
        self.executor.device.note("enqueue")
        self.stream.queue(self._run)

    def close(self) -> None:
        self.executor.calls -= 1

    def _run(self) -> None:
        device = self.executor.device
        inputs = [device.read(a.pointer, a.shape, a.dtype).copy() for a in self.inputs]
        for space in self.outputs:  # what another value still needs is gone before it is read
            device.read(space.pointer, (space.capacity,), np.dtype(np.uint8))[:] = 0x5A
        for space, array in zip(self.outputs, self.executor.function(inputs), strict=True):
            assert array.nbytes <= space.capacity
            device.write(space.pointer, array)
