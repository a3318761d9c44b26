# SPDX-License-Identifier: Apache-2.0
"""Several sessions of one bundle behind one call."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.observing import observed
from edge_trt_runtime.pool.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Future, ThreadPoolExecutor
    from types import TracebackType

    import numpy as np

    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.hybrid.memory import MemoryPlan
    from edge_trt_runtime.manifest import Manifest, Signature
    from edge_trt_runtime.observing import Observer
    from edge_trt_runtime.pool.lanes import LaneInfo, OpenLane
    from edge_trt_runtime.selftest import SelfTestResult
    from edge_trt_runtime.session import Input
    from edge_trt_runtime.streaming import Policy, Stream

_MOST_AHEAD = 256


class _Run(NamedTuple):
    """What a run is given, beside its lane."""

    inputs: Mapping[str, Input]
    out: Mapping[str, Input] | None = None
    device_outputs: bool = False


class Pool:
    """A bundle on several lanes, from :func:`edge_trt_runtime.load_pool`.

    Several threads may use it at once. A lane whose run fails goes on taking runs, and one that a
    watchdog has given up takes no more, while the others do.
    """

    def __init__(
        self,
        bundle: OpenBundle,
        lanes: list[OpenLane],
        reopen: Callable[[str | os.PathLike[str], Signature], tuple[OpenBundle, list[OpenLane]]],
    ) -> None:
        """Use ``load_pool``; ``reopen`` opens and checks what :meth:`reload` is given."""
        self._bundle = bundle
        self._queue = Queue(lanes, bundle.root)
        self._reopen = reopen
        self._observers: tuple[Observer, ...] = ()
        self._workers: ThreadPoolExecutor | None = None
        self._process = self._room = 0
        self._changing, self._reloading = threading.Lock(), threading.Lock()
        self._open = True

    @property
    def bundle(self) -> OpenBundle:
        """The bundle that runs."""
        return self._bundle

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self._bundle.manifest

    @property
    def signature(self) -> Signature:
        """Names, types, shapes and ranges of inputs and outputs."""
        return self._bundle.manifest.signature

    @property
    def lanes(self) -> list[LaneInfo]:
        """The lanes as they are now; none once the pool is closed."""
        return [lane.info() for lane in self._queue.lanes]

    @property
    def memory(self) -> MemoryPlan | None:
        """What a run in flight takes on the GPU, in the lane where it is most."""
        found = (lane.session.memory for lane in self._queue.lanes)
        return max((m for m in found if m is not None), key=lambda m: m.device, default=None)

    @property
    def broken(self) -> str:
        """Why no lane takes runs any more; empty while one does."""
        reasons = [lane.session.broken for lane in self._queue.lanes]
        return reasons[0] if reasons and all(reasons) else ""

    def run(
        self,
        inputs: Mapping[str, Input],
        *,
        out: Mapping[str, Input] | None = None,
        device_outputs: bool = False,
    ) -> dict[str, Any]:
        """Run the model once, in the free lane that is expected to be done first.

        Waits while no lane is free. Arguments, results and errors are as of
        :meth:`edge_trt_runtime.Session.run`.

        Raises:
            EngineError: When the pool is closed, too.
        """
        return self._told(_Run(inputs, out, device_outputs))

    def _told(self, run: _Run, lane: OpenLane | None = None) -> dict[str, Any]:
        """Run, and tell those who asked what it took."""
        if self._observers:
            return observed(self._observers, self._run, run, lane)
        return self._run(run, lane)

    def _run(self, run: _Run, lane: OpenLane | None = None) -> dict[str, Any]:
        """Run in a lane, free or not, or else in the next one that is free."""
        if lane is not None:
            self._queue.join(lane)
        while True:
            taken = self._queue.take() if lane is None else lane
            done = False
            try:
                outputs = taken.session.run(
                    run.inputs, out=run.out, device_outputs=run.device_outputs
                )
                done = True
                return outputs
            except EngineError:
                if not taken.retired:
                    raise
                lane = None  # the bundle was exchanged for another one just then
            finally:
                self._queue.give_back(taken, done=done)

    def observe(self, observer: Observer) -> None:
        """Call ``observer(seconds, error)`` after each run, its waiting for a lane included.

        What it raises is raised by the run, so it should not.
        """
        self._observers = (*self._observers, observer)

    def submit(
        self, inputs: Mapping[str, Input], *, device_outputs: bool = False
    ) -> Future[dict[str, Any]]:
        """Run the model in another thread; as many such runs at once as all lanes take.

        Args:
            inputs: As for :meth:`run`; not to be changed until the run is over.
            device_outputs: As for :meth:`run`.

        Returns:
            A future of what :meth:`run` returns or raises. Runs that have not begun can be
            cancelled, and are when the pool is closed.

        Raises:
            EngineError: When the pool is closed.
        """
        return self._start(_Run(inputs, None, device_outputs))

    def stream(
        self,
        frames: Iterable[Any],
        *,
        depth: int | None = None,
        policy: Policy = "block",
        deadline: float | None = None,
        prepare: Callable[[Any], Mapping[str, Input]] | None = None,
    ) -> Stream:
        """Run the model on one frame after the other, in all lanes; results come in order.

        Arguments are as of :meth:`edge_trt_runtime.Session.stream`. ``depth`` is how many frames
        run or wait to be taken; by default that is enough for the others to go on while the slowest
        lane runs, up to 256. As many as the lanes have room for run at once.

        Raises:
            EngineError: When the pool is closed, or an option is wrong.
        """
        from edge_trt_runtime.streaming import Stream, inputs_of

        self._check_open()
        make = prepare or inputs_of(self.signature)
        ahead = self._ahead() if depth is None else depth
        workers = sum(lane.room for lane in self._queue.lanes)
        workers += policy == "block"  # one is always next; a camera's newest frame waits outside
        return Stream(
            self.run, make, frames, depth=ahead, policy=policy, deadline=deadline, workers=workers
        )

    def map(
        self, inputs: Iterable[Mapping[str, Input]], *, ahead: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Run the model on all inputs, in all lanes; outputs come in the order of the inputs.

        Inputs are read in another thread, and only as far ahead as outputs are taken.

        Args:
            inputs: As for :meth:`run`, one after the other.
            ahead: How many of them run or wait to be taken, by default as for :meth:`stream`; a few
                more may have been read.

        Raises:
            InputError: As :meth:`run`, in the place of the outputs of these inputs, and no more
                are run.
            EngineError: Likewise.
        """
        with self.stream(inputs, depth=ahead, prepare=_as_they_are) as stream:
            for result in stream:
                yield result.outputs

    def run_batch(self, inputs: Mapping[str, Input]) -> dict[str, np.ndarray]:
        """Run a batch that is shared by the lanes, or larger than a run, and join the outputs.

        The first size of all inputs and outputs is the batch. Where it is open, each lane gets one
        run in the ratio of the lanes' rates. Where it is fixed, or that would be too large for a
        run, lanes take equal runs as they get free.

        Args:
            inputs: As for :meth:`run`, with any batch.

        Raises:
            InputError: As :meth:`run`, or when no runs of the bundle's sizes make up the batch.
            EngineError: As :meth:`run`, or when the bundle has no batch.
        """
        from concurrent.futures import CancelledError

        from edge_trt_runtime.pool.batches import batch_sizes, cut, join, part_of, rows_of

        sizes = batch_sizes(self.signature)
        rows = rows_of(inputs)
        lanes = [lane for lane in self._queue.lanes if not lane.session.broken]
        if rows < 1 or not lanes:
            return self.run(inputs)  # which says what is wrong
        parts = cut(rows, sizes, [lane.rate for lane in lanes])
        if len(parts) == 1:
            return self.run(inputs)
        runs: list[Future[dict[str, np.ndarray]]] = []
        try:
            for lane, piece in parts:
                run = _Run(part_of(inputs, piece))
                runs.append(self._start(run, None if lane is None else lanes[lane]))
            return join([run.result() for run in runs])
        except CancelledError:  # by close
            raise self._queue.closed() from None
        finally:
            for run in runs:  # none may read the caller's arrays any more
                if not run.cancel():
                    run.exception()

    def self_test(self) -> dict[str, list[SelfTestResult]]:
        """Run every recorded case in each lane, and return what came of it by the lane's name.

        Raises:
            BundleError: When the recorded cases are damaged.
            EngineError: When an engine can't run, or the pool is closed.
        """
        from edge_trt_runtime.selftest import run_self_test

        self._check_open()
        return {
            lane.name: [r._replace(stream=lane.stream) for r in run_self_test(lane.session)]
            for lane in self._queue.lanes
        }

    def reload(self, path: str | os.PathLike[str] | None = None) -> None:
        """Change the bundle for a newer one, as :meth:`edge_trt_runtime.Session.reload` does.

        The new one is opened beside the old one, with the lanes that it has, and all of them have
        to pass its self-test.

        Raises:
            BundleError: When the new bundle is damaged, or not signed as the first had to be.
            EngineError: When it takes or gives something else, can't be loaded, or fails its
                self-test. The pool goes on with the old bundle.
        """
        with self._reloading:
            self._check_open()
            old_root = self._bundle.root
            bundle, lanes = self._reopen(old_root if path is None else path, self.signature)
            unused = lanes
            try:
                unused = self._queue.exchange(lanes)
                self._bundle = bundle
            finally:
                for lane in unused:
                    lane.session.close()

    def close(self) -> None:
        """Give back engines and memory. Runs in flight in other threads finish; twice is fine."""
        with self._changing:
            self._open = False
            workers, self._workers = self._workers, None
        lanes = self._queue.close()
        if workers is not None:
            workers.shutdown(cancel_futures=True)
        for lane in lanes:
            lane.session.close()

    def _start(self, run: _Run, lane: OpenLane | None = None) -> Future[dict[str, Any]]:
        """Run in another thread."""
        with self._changing:
            self._check_open()
            workers = self._workers_for(sum(lane.room for lane in self._queue.lanes))
            return workers.submit(self._told, run, lane)

    def _workers_for(self, room: int) -> ThreadPoolExecutor:
        """Threads for as many runs at once; called with the lock."""
        forked = self._process != os.getpid()  # a child has no threads of its parent
        if self._workers is None or forked or self._room != room:
            from concurrent.futures import ThreadPoolExecutor

            if self._workers is not None and not forked:
                self._workers.shutdown(wait=False)  # reloading gave other lanes; these runs go on
            self._process, self._room = os.getpid(), room
            self._workers = ThreadPoolExecutor(room, "edge_trt-pool")
        return self._workers

    def _ahead(self) -> int:
        """Twice the runs that begin while the slowest lane does those that it takes at once.

        Results come in order, so its runs hold up what the others do meanwhile.
        """
        lanes = self._queue.lanes
        slowest = min((lane.rate for lane in lanes), default=1.0)
        runs = sum(lane.room * lane.rate / slowest for lane in lanes)
        return max(1, sum(lane.room for lane in lanes), min(_MOST_AHEAD, round(2 * runs)))

    def _check_open(self) -> None:
        if not self._open:
            raise self._queue.closed()

    def __enter__(self) -> Pool:
        """Return the pool itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the pool."""
        self.close()


def _as_they_are(inputs: Any) -> Any:
    return inputs
