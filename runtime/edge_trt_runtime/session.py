# SPDX-License-Identifier: Apache-2.0
"""Running a loaded bundle."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Literal, overload

from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.loaded import Loaded, Options, load_engines
from edge_trt_runtime.observing import observed
from edge_trt_runtime.results import targets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future, ThreadPoolExecutor
    from types import TracebackType

    import numpy as np

    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.foreign import HasCudaArrayInterface, HasDlpack
    from edge_trt_runtime.hybrid.memory import MemoryPlan
    from edge_trt_runtime.hybrid.place import Place
    from edge_trt_runtime.layers import LayerTime
    from edge_trt_runtime.manifest import Manifest, Segment, Signature
    from edge_trt_runtime.observing import Observer
    from edge_trt_runtime.results import Target
    from edge_trt_runtime.streaming import Policy, Stream
    from edge_trt_runtime.timing import Timing

    Input = np.ndarray | HasDlpack | HasCudaArrayInterface


class Session:
    """A loaded bundle, from :func:`edge_trt_runtime.load`.

    Everything is planned when it is made: a run looks up nothing by name but its inputs. Several
    threads may call :meth:`run` at once.
    """

    def __init__(
        self,
        loaded: Loaded,
        options: Options,
        opener: Callable[[str | os.PathLike[str]], OpenBundle],
    ) -> None:
        """Use ``load``; ``opener`` opens and checks what :meth:`reload` is given."""
        self._loaded: Loaded | None = loaded
        self._bundle = loaded.bundle
        self._options = options
        self._observers: tuple[Observer, ...] = ()
        self._opener = opener
        self._workers: ThreadPoolExecutor | None = None
        self._process = 0
        self._changing = threading.Lock()
        self._reloading = threading.Lock()

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
    def segments(self) -> list[Segment]:
        """The steps of a run in order."""
        return self._bundle.manifest.segments

    @property
    def places(self) -> list[Place]:
        """Where each segment runs, and why it is the host; empty on a session of the CPU."""
        return [] if self._loaded is None else self._loaded.places

    @property
    def memory(self) -> MemoryPlan | None:
        """What a run in flight takes on the GPU; None on a session of the CPU."""
        return None if self._loaded is None else self._loaded.runner.memory

    @property
    def broken(self) -> str:
        """What was in flight when a run did not end in time; empty while all is well."""
        watchdog = None if self._loaded is None else self._loaded.watchdog
        return "" if watchdog is None else watchdog.broken

    @overload
    def run(
        self,
        inputs: Mapping[str, Input],
        *,
        out: Mapping[str, Input] | None = None,
        device_outputs: Literal[False] = False,
    ) -> dict[str, np.ndarray]: ...

    @overload
    def run(
        self,
        inputs: Mapping[str, Input],
        *,
        out: Mapping[str, Input] | None = None,
        device_outputs: bool,
    ) -> dict[str, Any]: ...

    def run(
        self,
        inputs: Mapping[str, Input],
        *,
        out: Mapping[str, Input] | None = None,
        device_outputs: bool = False,
    ) -> dict[str, Any]:
        """Run the model once.

        Args:
            inputs: An array for every input: of numpy in any memory layout, or of another library
                and contiguous, on the host or on the session's GPU.
            out: Arrays that outputs are written to, by name; all outputs or some. On the GPU they
                may be of any library too.
            device_outputs: Leave outputs on the GPU, as :class:`DeviceArray`.

        Returns:
            An array for every output: the one of ``out``, or a fresh one that the caller owns.
            All of them are complete.

        Raises:
            InputError: When a name, shape or type does not fit the signature, or an array lies
                where this session can't use it.
            EngineError: When an engine fails, the session is closed, or outputs should stay on a
                GPU and it runs on the CPU.
        """
        if self._observers:
            return observed(self._observers, self._run, inputs, out, device_outputs)
        return self._run(inputs, out, device_outputs)

    def _run(
        self, inputs: Mapping[str, Input], out: Mapping[str, Input] | None, stay: bool
    ) -> dict[str, Any]:
        while (loaded := self._loaded) is not None:
            arrays = loaded.checker.check(inputs)
            targets = () if out is None and not stay else _targets(loaded, out or {}, stay)
            try:
                results = loaded.runner.run(arrays, targets)
            except EngineError:
                if loaded is self._loaded or self._loaded is None:
                    raise
                continue  # it was exchanged for another one just then
            outputs = dict(zip(loaded.names, results, strict=True))
            return {**outputs, **out} if out else outputs
        raise self._closed()

    def observe(self, observer: Observer) -> None:
        """Call ``observer(seconds, error)`` after each run, in its thread; ``error`` may be None.

        What it raises is raised by the run, so it should not.
        """
        self._observers = (*self._observers, observer)

    def submit(
        self, inputs: Mapping[str, Input], *, device_outputs: bool = False
    ) -> Future[dict[str, Any]]:
        """Run the model in another thread; as many such runs at once as the session has frames.

        Args:
            inputs: As for :meth:`run`; not to be changed until the run is over.
            device_outputs: As for :meth:`run`.

        Returns:
            A future of what :meth:`run` returns or raises. Runs that have not begun can be
            cancelled, and are when the session is closed.

        Raises:
            EngineError: When the session is closed.
        """
        with self._changing:
            if self._loaded is None:
                raise self._closed()
            if self._workers is None or self._process != os.getpid():
                from concurrent.futures import ThreadPoolExecutor

                self._process = os.getpid()  # a forked child has no threads of its parent
                self._workers = ThreadPoolExecutor(self._options.frames, "edge_trt")
            return self._workers.submit(self.run, inputs, device_outputs=device_outputs)

    def profile(self, inputs: Mapping[str, Input]) -> list[Timing]:
        """Run once, waiting for each copy and segment, and tell what it took.

        It is slower than :meth:`run`, where they overlap and CUDA graphs launch them.

        Args:
            inputs: As for :meth:`run`.

        Raises:
            InputError: As :meth:`run`.
            EngineError: Likewise.
        """
        loaded = self._loaded
        if loaded is None:
            raise self._closed()
        return loaded.runner.profile(loaded.checker.check(inputs))

    def profile_layers(self, inputs: Mapping[str, Input], *, runs: int = 10) -> list[LayerTime]:
        """Run some times, and tell what each layer takes and which module of the model it is of.

        The libraries time their own layers, which costs time: their sum is more than a run takes.
        Print it by :func:`edge_trt_runtime.layers.format_layers`.

        Args:
            inputs: As for :meth:`run`.
            runs: How many runs the times are medians of.

        Raises:
            InputError: As :meth:`run`.
            EngineError: Likewise.
        """
        from edge_trt_runtime.layers import check_runs, layer_times

        check_runs(runs)
        loaded = self._loaded
        if loaded is None:
            raise self._closed()
        times = loaded.runner.layers(loaded.checker.check(inputs), runs)
        return layer_times(loaded.bundle, self.segments, times)

    async def arun(
        self, inputs: Mapping[str, Input], *, device_outputs: bool = False
    ) -> dict[str, Any]:
        """Run the model once, in another thread, while the event loop goes on.

        Args:
            inputs: As for :meth:`submit`.
            device_outputs: As for :meth:`run`.

        Raises:
            InputError: As :meth:`run`.
            EngineError: Likewise.
        """
        from asyncio import wrap_future

        return await wrap_future(self.submit(inputs, device_outputs=device_outputs))

    def stream(
        self,
        frames: Iterable[Any],
        *,
        depth: int = 2,
        policy: Policy = "block",
        deadline: float | None = None,
        prepare: Callable[[Any], Mapping[str, Input]] | None = None,
    ) -> Stream:
        """Run the model on one frame after the other, several of them at the same time.

        ::

            for result in session.stream(camera, policy="latest"):
                show(result.frame, result.outputs)

        Args:
            frames: The source, which is read in a thread of its own.
            depth: How many frames may be running or wait to be taken, at the same time as the
                next one is read; of a GPU no more than the session has ``frames``.
            policy: What to do with a frame while ``depth`` of them wait already: ``block`` does
                not read it before there is room, ``drop-oldest`` drops the one that waits
                longest, and ``latest`` keeps one waiting frame alone, the newest.
            deadline: Seconds after it was read within which a result is of use: older frames are
                dropped, and results that come later are marked.
            prepare: Makes the inputs of :meth:`run` from a frame, in one of ``depth`` threads.
                Without it a frame is these inputs, or the array of the only input, for which a
                first dimension of 1 may be left out.

        Returns:
            An iterator over results in the order of the frames, and a context manager.

        Raises:
            EngineError: When the session is closed, or an option is wrong.
        """
        from edge_trt_runtime.streaming import Stream, inputs_of

        if self._loaded is None:
            raise self._closed()
        make = prepare or inputs_of(self.signature)
        return Stream(self.run, make, frames, depth=depth, policy=policy, deadline=deadline)

    def reload(self, path: str | os.PathLike[str] | None = None) -> None:
        """Change the bundle for a newer one, between two runs; a bad one changes nothing.

        The new bundle is opened and checked as the first one was, loaded beside it, and has to pass
        its self-test. Runs in flight finish with the old one, later ones use the new one. Both
        take memory until then. States of the application are its own: see :meth:`initial_states`.

        Args:
            path: The new bundle; by default the same path, where a new one lies meanwhile.

        Raises:
            BundleError: When the new bundle is damaged, or not signed as the first had to be.
            EngineError: When it takes or gives something else, can't be loaded, or fails its
                self-test. The session goes on with the old bundle.
        """
        from edge_trt_runtime.reloading import check_same_signature, check_self_test

        with self._reloading:
            bundle = self._opener(self._bundle.root if path is None else path)
            check_same_signature(self.signature, bundle)
            fresh = Session(load_engines(bundle, self._options), self._options, self._opener)
            try:
                check_self_test(fresh)
                with self._changing:
                    if self._loaded is None:
                        raise self._closed()
                    old, self._loaded = self._loaded, fresh._loaded
                    self._bundle, fresh._loaded = bundle, None
            except BaseException:
                fresh.close()
                raise
            old.runner.close()

    def initial_states(self) -> dict[str, np.ndarray]:
        """Return the first value of every state, by the name of its input; empty without states.

        ::

            states = session.initial_states()
            for x in stream:
                outputs = session.run({"x": x, **states})
                states = session.next_states(outputs)

        Raises:
            BundleError: When the file with these values is damaged.
        """
        if self.manifest.initial_states is None:
            return {}
        from edge_trt_runtime.states import read_states

        return read_states(self._bundle, self.manifest.initial_states)

    def next_states(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a run left for the next one, by the names of inputs; nothing is copied."""
        return {state.input: outputs[state.output] for state in self.signature.states}

    def close(self) -> None:
        """Give back engines and memory. Runs in flight in other threads finish; twice is fine."""
        with self._changing:
            loaded, self._loaded = self._loaded, None
            workers, self._workers = self._workers, None
        if workers is not None:
            workers.shutdown(cancel_futures=True)
        if loaded is not None:
            loaded.runner.close()

    def _closed(self) -> EngineError:
        return EngineError(
            f"the session on {self._bundle.root} is closed", hint="load the bundle again"
        )

    def __enter__(self) -> Session:
        """Return the session itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the session."""
        self.close()


def _targets(loaded: Loaded, out: Mapping[str, Input], stay: bool) -> list[Target]:
    """Return where results go."""
    if stay and loaded.gpu is None:
        raise EngineError(
            "outputs can't stay on a GPU: this session runs on the CPU",
            hint="load it with device='cuda:0', or leave device_outputs out",
        )
    return targets_of(out, loaded.names, loaded.gpu, stay=stay)
