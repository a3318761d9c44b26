# SPDX-License-Identifier: Apache-2.0
"""What runs a segment: one module per library, each imported when a bundle needs it."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.layers import RawTime

if TYPE_CHECKING:
    import numpy as np

    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.manifest import Segment
    from edge_trt_runtime.plan import Step


class Executor(Protocol):
    """Runs one segment; safe to call from several threads at once."""

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Return the step's wanted values, in arrays that nothing else refers to.

        Args:
            inputs: The segment's inputs in order; not kept and not changed.

        Raises:
            EngineError: When the library refuses or fails.
        """
        ...


def times_of_layers(executor: Executor, inputs: list[np.ndarray], runs: int) -> list[RawTime]:
    """Return what the layers of a segment take; one nameless layer where its library is silent.

    Raises:
        EngineError: As :meth:`Executor.run`.
    """
    tell = getattr(executor, "layer_times", None)
    if tell is not None:
        return tell(inputs, runs)
    executor.run(inputs)
    took: list[float] = []
    for _ in range(runs):
        start = perf_counter()
        executor.run(inputs)
        took.append(perf_counter() - start)
    return [RawTime("", median(took))]


def open_executor(bundle: OpenBundle, step: Step, threads: int | None) -> Executor:
    """Load the best engine of a segment that this machine can run.

    Args:
        bundle: Where the files are.
        step: The segment, and which of its outputs are needed.
        threads: CPU threads for one run, or ``None`` for the library's choice.

    Raises:
        EngineError: When there is none, or it can't be loaded.
    """
    segment = step.segment
    if segment.kind == "torch" and segment.program is not None:
        from edge_trt_runtime.executors.torch import TorchExecutor

        return TorchExecutor(bundle, step, segment.program, threads)
    from edge_trt_runtime.executors.onnx import OnnxExecutor

    if segment.kind == "onnx" and segment.program is not None:
        return OnnxExecutor(bundle, step, segment.program, threads)
    return OnnxExecutor(bundle, step, _onnx_engine(bundle, segment), threads)


def _onnx_engine(bundle: OpenBundle, segment: Segment) -> str:
    """Return the path of the segment's ONNX file."""
    engines = [engine for engine in bundle.manifest.engines if engine.segment == segment.name]
    for engine in engines:
        if engine.flavour == "onnx":
            return engine.path
    if not engines:
        raise EngineError(
            f"segment {segment.name!r} of {bundle.root} has no engine yet",
            segment=segment.name,
            hint=f"finish it with `edge_trt build {bundle.root} --target cpu`",
        )
    targets = ", ".join(dict.fromkeys(engine.target for engine in engines))
    raise EngineError(
        f"segment {segment.name!r} of {bundle.root} has engines for {targets} only, and none for "
        "the CPU",
        segment=segment.name,
        hint="build it also with --target cpu, or run it on the GPU that they are for",
    )
