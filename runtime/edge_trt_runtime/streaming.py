# SPDX-License-Identifier: Apache-2.0
"""A session over a sequence of frames: reading, running and taking results go on side by side.

One thread reads frames, as many as the stream is deep run them, and who iterates takes the
results in the order of the frames. A run starts only when fewer than ``depth`` are running or wait
to be taken, so a slow reader of results holds back the source, or has frames dropped, and memory
does not grow.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.foreign import is_foreign, is_on_gpu
from edge_trt_runtime.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from edge_trt_runtime.manifest import Signature
    from edge_trt_runtime.session import Input

    Run = Callable[[Mapping[str, Input]], dict[str, np.ndarray]]
    Prepare = Callable[[Any], Mapping[str, Input]]

Policy = Literal["block", "latest", "drop-oldest"]
POLICIES: tuple[Policy, ...] = ("block", "latest", "drop-oldest")


class StreamResult(NamedTuple):
    """What became of a frame.

    Attributes:
        outputs: As of ``Session.run``.
        frame: The frame as the source gave it.
        number: Its number in the source, from 0; dropped frames leave gaps.
        waited: Seconds from when it was read until its run began.
        prepared: Seconds that ``prepare`` took.
        ran: Seconds that the run took.
        late: Whether the result came later after the reading than the deadline.
    """

    outputs: dict[str, np.ndarray]
    frame: Any
    number: int
    waited: float
    prepared: float
    ran: float
    late: bool


class _Job:
    """A frame on its way."""

    __slots__ = ("error", "frame", "index", "number", "outputs", "read", "times")

    def __init__(self, frame: Any, index: int) -> None:
        self.frame = frame
        self.index = index
        self.number = -1  # among those that run
        self.read = time.perf_counter()
        self.times = (0.0, 0.0, 0.0)
        self.outputs: dict[str, np.ndarray] = {}
        self.error: BaseException | None = None


class Stream:
    """Iterate over it for results; it ends with its frames, or when it is closed.

    Attributes:
        dropped: Frames that were not run: another took their place, or they were too old.
    """

    def __init__(
        self,
        run: Run,
        prepare: Prepare,
        frames: Iterable[Any],
        *,
        depth: int,
        policy: Policy,
        deadline: float | None,
        workers: int | None = None,
    ) -> None:
        """Use :meth:`edge_trt_runtime.Session.stream`; ``workers`` run at once, or ``depth``."""
        _check(depth, policy, deadline)
        self._count = depth if workers is None else min(depth, workers)
        self.dropped = 0
        self._run, self._prepare = run, prepare
        self._frames = iter(frames)
        self._depth, self._policy, self._deadline = depth, policy, deadline
        self._room = 1 if policy == "latest" else self._count
        # Ctrl-C is raised between any two steps of Python, also within Condition.__enter__ and
        # wait, which then keep or lose the lock. So `with` takes the lock itself, whose methods
        # are C, and who iterates waits in the queue, whose methods are C too.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._results: SimpleQueue[_Job | None] = SimpleQueue()
        self._waiting: deque[_Job] = deque()
        self._done: dict[int, _Job] = {}
        self._started = self._given = self._taken = 0
        self._read_all = self._closed = False
        self._source_error: BaseException | None = None
        self._threads: list[threading.Thread] = []

    def __iter__(self) -> Stream:
        """Return itself."""
        return self

    def __next__(self) -> StreamResult:
        """Return the next result, which may have to be waited for.

        Raises:
            StopIteration: After the last one.
            InputError: As ``Session.run`` for this frame; the stream is then closed.
            EngineError: Likewise.
        """
        try:
            if not self._threads and not self._closed:
                self._start()
            job = self._take()
        except BaseException:  # Ctrl-C above all
            self.close()
            raise
        if job is None:
            self.close()
            if self._source_error is not None:
                raise self._source_error
            raise StopIteration
        if job.error is not None:
            self.close()
            raise job.error
        late = self._deadline is not None and sum(job.times) > self._deadline
        return StreamResult(job.outputs, job.frame, job.index, *job.times, late)

    def close(self) -> None:
        """Stop reading, and wait for runs in flight; what waits is dropped. Twice is fine.

        The source is not waited for: a camera may hang. It is told to close when it returns.
        """
        with self._lock:
            self._closed = True
            self.dropped += len(self._waiting)
            self._waiting.clear()
            self._results.put(None)
            self._changed.notify_all()
        for thread in self._threads[1:]:
            # One that Ctrl-C kept from starting can't be joined, and finds the stream closed.
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join()

    def __enter__(self) -> Stream:
        """Return the stream itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the stream."""
        self.close()

    def _start(self) -> None:
        """Start the threads; the first one reads."""
        targets = [self._read, *[self._work] * self._count]
        self._threads = [
            threading.Thread(target=target, name=f"edge_trt-stream-{number}", daemon=True)
            for number, target in enumerate(targets)
        ]
        for thread in self._threads:
            thread.start()

    def _take(self) -> _Job | None:
        """Wait for the next result in order; None after the last one."""
        job = None if self._closed else self._results.get()
        if job is None or self._closed:
            self._results.put(None)  # for who else waits
            return None
        with self._lock:
            self._taken += 1
            self._changed.notify_all()
        return job

    def _give(self) -> None:
        """Hand over what can be taken, and the end; called with the lock after each change."""
        while (job := self._done.pop(self._given, None)) is not None:
            self._given += 1
            self._results.put(job)
        if self._read_all and not self._waiting and self._given == self._started:
            self._results.put(None)
        self._changed.notify_all()

    # reading

    def _read(self) -> None:
        try:
            for index, frame in enumerate(self._frames):
                if not self._offer(_Job(frame, index)):
                    break
        except BaseException as error:
            self._source_error = error
        finally:
            with self._lock:
                self._read_all = True
                self._give()
        close = getattr(self._frames, "close", None)
        if close is not None and self._source_error is None:
            close()  # a generator's `finally` runs here, in the thread that it ran in

    def _offer(self, job: _Job) -> bool:
        """Queue a frame as the policy says; False when nobody wants more."""
        with self._lock:
            if self._policy == "block":
                while len(self._waiting) >= self._room and not self._closed:
                    self._changed.wait()
                job.read = time.perf_counter()  # it was not kept waiting by the model before
            if self._closed:
                return False
            full = len(self._waiting) >= self._room
            if full:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(job)
            if not full:  # one in the place of another is no news, and a fast source has many
                self._changed.notify_all()
            return True

    # running

    def _work(self) -> None:
        while (job := self._next_job()) is not None:
            began = time.perf_counter()
            prepared = began
            try:
                inputs = self._prepare(job.frame)
                prepared = time.perf_counter()
                job.outputs = self._run(inputs)
            except BaseException as error:
                job.error = error
            ended = time.perf_counter()
            job.times = (began - job.read, prepared - began, ended - prepared)
            with self._lock:
                self._done[job.number] = job
                self._give()

    def _next_job(self) -> _Job | None:
        """Wait for a frame and for leave to start; None when the stream ends."""
        with self._lock:
            while not self._closed:
                self._drop_old()
                if self._waiting and self._started - self._taken < self._depth:
                    job = self._waiting.popleft()
                    job.number = self._started
                    self._started += 1
                    self._changed.notify_all()
                    return job
                if self._read_all and not self._waiting:
                    return None
                self._changed.wait()
            return None

    def _drop_old(self) -> None:
        """Drop waiting frames that are past the deadline: their results would be of no use."""
        if self._deadline is None:
            return
        now = time.perf_counter()
        while self._waiting and now - self._waiting[0].read > self._deadline:
            self._waiting.popleft()
            self.dropped += 1
            self._give()


def inputs_of(signature: Signature) -> Prepare:
    """Return what makes inputs of a frame that is these already, or the only input's array."""
    first = signature.inputs[0] if len(signature.inputs) == 1 else None

    def prepare(frame: Any) -> Mapping[str, Input]:
        if first is None or not (hasattr(frame, "__array__") or is_foreign(frame)):
            return frame
        if is_on_gpu(frame):
            lacks = getattr(frame, "ndim", None) == len(first.shape) - 1
            return {first.name: frame[np.newaxis] if lacks else frame}
        array = np.asarray(frame)
        return {first.name: array[np.newaxis] if array.ndim == len(first.shape) - 1 else array}

    return prepare


def _check(depth: int, policy: str, deadline: float | None) -> None:
    if depth < 1:
        raise EngineError(f"depth is {depth}", hint="give 1 or more")
    if policy not in POLICIES:
        raise EngineError(f"unknown policy {policy!r}", hint=did_you_mean(policy, [*POLICIES]))
    if deadline is not None and not deadline > 0:
        raise EngineError(f"deadline is {deadline}", hint="give seconds above 0, or None")
