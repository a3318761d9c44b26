# SPDX-License-Identifier: Apache-2.0
"""CUDA graphs: a stretch of a stream recorded once and launched in one call.

PyCUDA has none, so they come from NVIDIA's ``cuda-bindings``, on PyCUDA's stream handles: both
hand the same pointers to the same driver.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edge_trt_runtime.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable


class Graph:
    """A captured stretch, ready to be launched on the stream that it was captured on."""

    __slots__ = ("_call", "_cuda", "_executable")

    def __init__(self, cuda: Any, graph: Any, handle: int) -> None:
        """Instantiate ``graph``, which is destroyed by that."""
        self._cuda = cuda
        try:
            self._executable: Any = _checked(cuda, cuda.cuGraphInstantiate(graph, 0))
        finally:
            cuda.cuGraphDestroy(graph)
        self._call = launcher(int(self._executable), handle)

    def launch(self) -> None:
        """Queue the whole stretch.

        Raises:
            EngineError: When the driver refuses.
        """
        self._call()

    def free(self) -> None:
        """Destroy it; none of its launches may be running."""
        self._cuda.cuGraphExecDestroy(self._executable)


def launcher(graph: int, stream: int) -> Callable[[], None]:
    """Return what launches an executable graph on a stream, both by their CUDA handles."""
    cuda: Any = importlib.import_module("cuda.bindings.driver")
    launch, executable, queue = cuda.cuGraphLaunch, cuda.CUgraphExec(graph), cuda.CUstream(stream)

    def call() -> None:
        (status,) = launch(executable, queue)
        if status:
            _checked(cuda, (status,))

    return call


def capture(work: Callable[[], None], handle: int) -> Graph:
    """Record what ``work()`` queues on the stream with a handle.

    Only this thread is kept from calls that a capture forbids; others go on.

    Raises:
        EngineError: When cuda-bindings is missing, or the driver refuses.
    """
    try:
        cuda: Any = importlib.import_module("cuda.bindings.driver")
    except ImportError as error:
        raise EngineError(
            "CUDA graphs need cuda-bindings, which can't be imported",
            hint="pip install cuda-bindings",
        ) from error
    stream = cuda.CUstream(handle)
    mode = cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
    _checked(cuda, cuda.cuStreamBeginCapture(stream, mode))
    try:
        work()
    except BaseException:
        status, graph = cuda.cuStreamEndCapture(stream)
        if not status and int(graph):
            cuda.cuGraphDestroy(graph)
        raise
    return Graph(cuda, _checked(cuda, cuda.cuStreamEndCapture(stream)), handle)


def _checked(cuda: Any, result: tuple[Any, ...]) -> Any:
    """Return what a call gave beside its status.

    Raises:
        EngineError: With CUDA's name of the status.
    """
    status, *values = result
    if status != cuda.CUresult.CUDA_SUCCESS:
        raise EngineError(f"CUDA graph: {status.name}")
    return values[0] if values else None
