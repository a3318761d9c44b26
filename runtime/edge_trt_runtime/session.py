# SPDX-License-Identifier: Apache-2.0
"""Loading a bundle and running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_trt_runtime.bundle import OpenBundle, open_bundle
from edge_trt_runtime.dtypes import NUMPY_DTYPES
from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.executors import open_executor
from edge_trt_runtime.inputs import InputChecker
from edge_trt_runtime.names import did_you_mean
from edge_trt_runtime.plan import make_plan

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from types import TracebackType

    import numpy as np

    from edge_trt_runtime.manifest import Manifest, Segment, Signature

    _Execute = Callable[[list[np.ndarray]], list[np.ndarray]]
    _Stage = tuple[_Execute, tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    threads: int | None = None,
    verify: bool = True,
) -> Session:
    """Open the bundle at ``path`` and make it ready to run.

    Args:
        path: The bundle's directory.
        device: ``"auto"`` for the best that this machine has, or ``"cpu"``.
        threads: CPU threads that one run may use; ``None`` leaves it to the library. For PyTorch
            segments this sets the number of the whole process.
        verify: Check size and sha256 of every file first. Without it only sizes are checked.

    Returns:
        A session; use it as a context manager or call :meth:`Session.close`.

    Raises:
        BundleError: When the bundle is damaged, unsafe or too new.
        EngineError: When the bundle has no engine for this machine, a library is missing, or an
            option is wrong.
    """
    _check_device(device)
    if threads is not None and threads < 1:
        raise EngineError(f"threads is {threads}", hint="give 1 or more, or None")
    bundle = open_bundle(path)
    if verify:
        bundle.verify()
    return Session(bundle, threads=threads)


class Session:
    """A loaded bundle.

    Everything is planned when it is made: a run looks up nothing by name but its inputs. Several
    threads may call :meth:`run` at once.
    """

    def __init__(self, bundle: OpenBundle, *, threads: int | None = None) -> None:
        """Load an engine for every segment; :func:`load` is the usual way.

        Raises:
            EngineError: As :func:`load`.
        """
        manifest = bundle.manifest
        _check_types(manifest)
        plan = make_plan(manifest)
        self._bundle = bundle
        self._checker = InputChecker(manifest.signature)
        self._blank: list[Any] = [None] * (plan.slots - len(manifest.signature.inputs))
        self._results = plan.results
        self._stages: tuple[_Stage, ...] | None = tuple(
            (open_executor(bundle, step, threads).run, step.inputs, step.outputs, step.dead)
            for step in plan.steps
        )

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

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the model once.

        Args:
            inputs: An array for every input of the signature, in any memory layout.

        Returns:
            A fresh array for every output, which the caller owns.

        Raises:
            InputError: When a name, shape or type does not fit the signature.
            EngineError: When an engine fails, or the session is closed.
        """
        stages = self._stages
        if stages is None:
            raise EngineError(
                f"the session on {self._bundle.root} is closed", hint="load the bundle again"
            )
        values: list[Any] = self._checker.check(inputs) + self._blank
        for execute, sources, targets, dead in stages:
            outputs = execute([values[slot] for slot in sources])
            for slot, value in zip(targets, outputs):  # noqa: B905 (hot; executors give all)
                values[slot] = value
            for slot in dead:
                values[slot] = None
        return {
            name: values[slot].copy() if copy else values[slot]
            for name, slot, copy in self._results
        }

    def initial_states(self) -> dict[str, np.ndarray]:
        """Return the first value of every state, by the name of its input; empty without states.

        ::

            states = session.initial_states()
            for x in stream:
                outputs = session.run({"x": x, **states})
                states = session.next_states(outputs)
        """
        path = self.manifest.initial_states
        if path is None:
            return {}
        from edge_trt_runtime.vectors import read_tensors

        arrays = read_tensors(self._bundle.path(path))
        return {state.input: arrays[state.input].copy() for state in self.signature.states}

    def next_states(self, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return what a run left for the next one, by the names of inputs; nothing is copied."""
        return {state.input: outputs[state.output] for state in self.signature.states}

    def close(self) -> None:
        """Give back engines and memory. Runs in flight in other threads finish; twice is fine."""
        self._stages = None

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


def _check_device(device: str) -> None:
    if device in {"auto", "cpu"}:
        return
    kind, _, index = device.partition(":")
    if kind in {"cuda", "gpu", "dla"} and (not index or index.isdigit()):
        raise EngineError(
            f"device {device!r} is not available yet", hint="use device='cpu' or 'auto'"
        )
    raise EngineError(f"unknown device {device!r}", hint=did_you_mean(device, ["auto", "cpu"]))


def _check_types(manifest: Manifest) -> None:
    """Refuse values that numpy can't hold, before a library says it in its own words."""
    specs = [("the signature", spec) for spec in manifest.signature.inputs]
    for segment in manifest.segments:
        specs += [(f"segment {segment.name!r}", spec) for spec in segment.tensors]
    for owner, spec in specs:
        if spec.dtype not in NUMPY_DTYPES:
            raise EngineError(
                f"value {spec.name!r} of {owner} is {spec.dtype}, which numpy lacks",
                hint="build the bundle with float32 or float16 inputs and outputs",
            )
