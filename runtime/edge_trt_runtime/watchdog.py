# SPDX-License-Identifier: Apache-2.0
"""A limit on the time of a run, for devices and libraries that hang.

A call of CUDA, TensorRT or ONNX Runtime that does not return can't be interrupted from Python, so
runs happen in threads of their own, and the caller waits for as long as was said. A run that does
not end in time is left alone, with its thread and everything that it uses: freeing memory that a
device may still write to, or asking a hung driver for anything, would hang as well.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

from edge_trt_runtime.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_trt_runtime.hybrid.memory import MemoryPlan
    from edge_trt_runtime.layers import RawTime
    from edge_trt_runtime.loaded import Runner
    from edge_trt_runtime.timing import Timing

log = logging.getLogger("edge_trt_runtime")

AT_EXIT = 10.0
"""Seconds that the process waits at its end for runs that were given up."""

_late: set[_Job] = set()


class Watchdog:
    """Knows what every run is doing, and whether one did not end in time.

    Attributes:
        seconds: How long a run may take.
        broken: What was in flight when one did not end; empty as long as all did.
    """

    def __init__(self, seconds: float) -> None:
        """Begin with nothing in flight."""
        self.seconds = seconds
        self.broken = ""
        self._doing: dict[int, str] = {}

    def mark(self, label: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call that is known to be what its thread does, until the next one."""
        doing, thread = self._doing, threading.get_ident

        def noted(*arguments: Any) -> Any:
            doing[thread()] = label
            return call(*arguments)

        return noted

    def begin(self, thread: int) -> None:
        """Forget what a thread did before."""
        self._doing.pop(thread, None)

    def in_flight(self, threads: Sequence[int]) -> str:
        """Return what some threads do."""
        return "; ".join(self._doing.get(thread, "the start of a run") for thread in threads)


class WatchedRunner:
    """Another runner, given up when a run takes too long."""

    def __init__(self, runner: Runner, watchdog: Watchdog, limit: int | None) -> None:
        """Watch over ``runner``, which lets ``limit`` runs be in flight, or any number."""
        self._runner = runner
        self._watchdog = watchdog
        self._limit = limit
        self._room = None if limit is None else threading.Semaphore(limit)
        self._process = os.getpid()
        self._closed = False
        self._idle: list[_Worker] = []
        self._busy: dict[_Job, None] = {}
        weakref.finalize(self, _stop, self._idle)

    @property
    def memory(self) -> MemoryPlan | None:
        """As the runner's."""
        return self._runner.memory

    def run(self, inputs: list[Any], targets: Sequence[Any] = ()) -> list[Any]:
        """Run once, in another thread.

        Raises:
            EngineError: As the runner's, when the run takes too long, or an earlier one did.
        """
        return self._watched(self._runner.run, inputs, targets)

    def profile(self, inputs: list[Any]) -> list[Timing]:
        """Run once and tell what each operation took; likewise."""
        return self._watched(self._runner.profile, inputs)

    def layers(self, inputs: list[Any], runs: int) -> dict[str, list[RawTime]]:
        """Run some times and tell what layers take, unwatched: it takes as long as it takes."""
        self._refuse_if_broken()
        return self._runner.layers(inputs, runs)

    def close(self) -> None:
        """Wait for runs in flight, for as long as a run may take, and give everything back."""
        if self._process != os.getpid():
            self._begin_again()
        end = monotonic() + self._watchdog.seconds
        for job in [*self._busy]:
            if not self._watchdog.broken and not job.done.wait(end - monotonic()):
                self._give_up(job)
        self._closed = True
        if not self._watchdog.broken:
            self._runner.close()
        _stop(self._idle)

    def abandon(self) -> None:
        """Leave everything as it is."""
        self._runner.abandon()

    def _begin_again(self) -> None:
        """Forget the threads of the process that this one was forked from."""
        self._process = os.getpid()
        self._idle.clear()
        self._busy.clear()
        if self._limit is not None:
            self._room = threading.Semaphore(self._limit)

    def _watched(self, call: Callable[..., Any], *arguments: Any) -> Any:
        if self._process != os.getpid():
            self._begin_again()
        if self._room is not None:
            self._room.acquire()  # time in a queue is no sign of a fault
            if self._watchdog.broken:
                self._room.release()  # the next one that waits is refused as well
        self._refuse_if_broken()
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = _Worker()
        job = _Job(call, arguments, worker)
        self._watchdog.begin(worker.ident)
        self._busy[job] = None
        worker.jobs.put((job, self._finished))
        if not job.done.wait(self._watchdog.seconds):
            raise self._give_up(job)
        if job.error is not None:
            raise job.error
        return job.result

    def _finished(self, job: _Job) -> None:
        """Make room for the next run; in the worker's thread."""
        self._busy.pop(job, None)
        if self._closed:
            job.worker.jobs.put(None)
        else:
            self._idle.append(job.worker)
        if self._room is not None:
            self._room.release()
        _late.discard(job)
        job.done.set()

    def _refuse_if_broken(self) -> None:
        broken = self._watchdog.broken
        if not broken:
            return
        raise EngineError(
            f"the session is broken: {broken}",
            hint="reload() it, or start the process again when that does not help",
        )

    def _give_up(self, job: _Job) -> EngineError:
        """Take no more runs; return the error of this one."""
        others = [other for other in [*self._busy] if other is not job]
        doing = self._watchdog.in_flight([one.worker.ident for one in (job, *others)])
        what = f"a run did not end within {self._watchdog.seconds:g} s; in flight: {doing}"
        self._watchdog.broken = self._watchdog.broken or what
        _late.add(job)
        if job.done.is_set():  # just now
            _late.discard(job)
        log.error("%s", what)
        self._runner.abandon()
        if self._room is not None:
            self._room.release()
        return EngineError(
            what,
            hint="the session takes no more runs; reload() it, or start the process again when "
            "that does not help",
        )


def _wait_for_late_runs() -> None:
    """Give runs that were given up some time to end before Python does.

    A library's thread that comes back to Python after its end takes the whole process down. One
    that hangs for good never comes back.
    """
    end = monotonic() + AT_EXIT
    for job in [*_late]:
        job.done.wait(max(0.0, end - monotonic()))


atexit.register(_wait_for_late_runs)
os.register_at_fork(after_in_child=_late.clear)  # they are not of the child


class _Job:
    """A run, and what became of it."""

    __slots__ = ("_arguments", "_call", "done", "error", "result", "worker")

    def __init__(
        self, call: Callable[..., Any], arguments: tuple[Any, ...], worker: _Worker
    ) -> None:
        self._call, self._arguments = call, arguments
        self.worker = worker
        self.done = threading.Event()
        self.error: BaseException | None = None
        self.result: Any = None

    def work(self) -> None:
        try:
            self.result = self._call(*self._arguments)
        except BaseException as error:
            self.error = error


_Work = tuple[_Job, "Callable[[_Job], None]"]


class _Worker:
    """A thread that makes runs; the process does not wait for it to end."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[_Work | None] = SimpleQueue()
        thread = threading.Thread(
            target=_work, args=(self.jobs,), name="edge_trt-watched", daemon=True
        )
        thread.start()
        self.ident: int = thread.ident or 0


def _work(jobs: SimpleQueue[_Work | None]) -> None:
    while (work := jobs.get()) is not None:
        job, finished = work
        job.work()
        finished(job)
        del work, job, finished  # nothing of the last run is kept until the next


def _stop(idle: list[_Worker]) -> None:
    while idle:
        idle.pop().jobs.put(None)
