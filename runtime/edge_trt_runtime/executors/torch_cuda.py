# SPDX-License-Identifier: Apache-2.0
"""PyTorch on the GPU: fallback segments on our streams, in our memory.

PyTorch works in the same primary context. Inputs and outputs are tensors over a frame's device
memory, so nothing is copied but a segment's results into their places.
"""

from __future__ import annotations

import gc
import importlib.util
from typing import TYPE_CHECKING, Any

from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.executors.torch_operators import load_program, missing_operators

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_trt_runtime.bundle import OpenBundle
    from edge_trt_runtime.hybrid.arrays import DeviceSpace, DeviceView
    from edge_trt_runtime.plan import Step


def why_not(ordinal: int) -> str:
    """Return why PyTorch can't use a GPU, or nothing when it can."""
    import torch

    if not torch.cuda.is_available():
        return f"PyTorch {torch.__version__} can't use the GPU"
    if ordinal >= torch.cuda.device_count():
        return f"PyTorch sees no cuda:{ordinal}"
    return ""


class TorchCudaExecutor:
    """A ``.pt2`` program moved to a GPU."""

    capturable = True
    scratch = 0  # PyTorch has an allocator of its own
    variable = False

    def __init__(self, bundle: OpenBundle, step: Step, path: str, ordinal: int) -> None:
        """Load the program at ``path`` of ``bundle``.

        Raises:
            EngineError: When PyTorch can't load it, or can't move it to the GPU.
        """
        import torch
        from torch.export.passes import move_to_device_pass

        self.segment = step.segment.name
        self.torch: Any = torch
        self.device: Any = torch.device("cuda", ordinal)
        file = bundle.path(path)
        if unknown := missing_operators(torch, file):
            raise EngineError(
                f"segment {self.segment!r} calls {unknown[0]}, which nothing has registered here",
                segment=self.segment,
                hint=f"import the library that brings {unknown[0]} before loading the bundle",
            )
        try:
            program = move_to_device_pass(load_program(torch, file), str(self.device))
            self.module: Any = program.module()
        except Exception as error:
            raise self.failure(f"{path!r} could not be loaded on the GPU", error) from error
        outputs = step.segment.outputs
        self.wanted = [i for i, value in enumerate(outputs) if value in step.wanted]

    def bind(
        self, inputs: list[DeviceView], outputs: list[DeviceSpace], stream: int, scratch: int
    ) -> TorchCudaCall:
        """Prepare calls; see :class:`edge_trt_runtime.hybrid.arrays.DeviceExecutor`."""
        del scratch
        return TorchCudaCall(self, inputs, outputs, stream)

    def capture(self, work: Callable[[], None], stream: int) -> TorchGraph:
        """Capture as PyTorch does: its allocator has to know that a graph keeps the memory."""
        return TorchGraph(self.torch, work, self.torch.cuda.ExternalStream(stream, self.device))

    def close(self) -> None:
        """Give back the weights, and what PyTorch's allocator keeps for later."""
        self.module = None
        gc.collect()  # modules of exported programs refer to themselves
        self.torch.cuda.empty_cache()

    def failure(self, what: str, error: Exception) -> EngineError:
        """Say what went wrong in this segment."""
        reason = str(error).strip().partition("\n")[0]
        return EngineError(f"segment {self.segment!r}: {what} ({reason})", segment=self.segment)


class TorchCudaCall:
    """A program with its inputs and the places of its outputs."""

    def __init__(
        self,
        executor: TorchCudaExecutor,
        inputs: list[DeviceView],
        outputs: list[DeviceSpace],
        stream: int,
    ) -> None:
        """Use :meth:`TorchCudaExecutor.bind`."""
        self.shapes: list[tuple[int, ...]] = []
        self._executor = executor
        self._inputs = [self._tensor(array) for array in inputs]
        self._spaces = outputs
        self._outputs: list[Any] = []
        self._stream: Any = executor.torch.cuda.ExternalStream(stream, executor.device)

    def enqueue(self) -> None:
        """Queue the program and the copies of its results."""
        torch = self._executor.torch
        try:
            with torch.inference_mode(), torch.cuda.stream(self._stream):
                results = self._executor.module(*self._inputs)
                if type(results) not in (tuple, list):
                    results = (results,)
                results = [results[index] for index in self._executor.wanted]
                if not self._outputs:
                    self._place(results)
                for place, result in zip(self._outputs, results, strict=True):
                    place.copy_(result)
        except EngineError:
            raise
        except Exception as error:
            raise self._executor.failure("PyTorch failed while running it", error) from error

    def close(self) -> None:
        """Let go of the tensors."""
        self._inputs, self._outputs = [], []

    def _place(self, results: list[Any]) -> None:
        """Make tensors over the room for outputs, now that their shapes are known."""
        for space, result in zip(self._spaces, results, strict=True):
            size = result.numel() * result.element_size()
            if size > space.capacity:
                raise EngineError(
                    f"segment {self._executor.segment!r} gives {size} bytes where the bundle says "
                    f"at most {space.capacity}",
                    segment=self._executor.segment,
                    hint="build the bundle again",
                )
            self._outputs.append(self._tensor(space.array(result.shape)))
        self.shapes = [tuple(result.shape) for result in results]

    def _tensor(self, array: DeviceView) -> Any:
        return self._executor.torch.as_tensor(array, device=self._executor.device)


class TorchGraph:
    """A stretch with PyTorch segments in it, whose intermediate memory PyTorch keeps for it."""

    def __init__(self, torch: Any, work: Callable[[], None], stream: Any) -> None:
        """Capture ``work()`` on ``stream``."""
        self._torch = torch
        self._stream = stream
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
            work()
        self._call = self._launcher()

    def launch(self) -> None:
        """Queue the stretch."""
        self._call()

    def free(self) -> None:
        """Destroy it."""
        self._graph.reset()

    def _launcher(self) -> Callable[[], None]:
        """Return what launches it: the driver at once, where PyTorch tells the graph's handle."""
        handle = getattr(self._graph, "raw_cuda_graph_exec", None)
        if handle is None or importlib.util.find_spec("cuda.bindings") is None:
            return self._replay
        from edge_trt_runtime.cuda.graph import launcher

        return launcher(handle(), self._stream.cuda_stream)

    def _replay(self) -> None:
        with self._torch.cuda.stream(self._stream):
            self._graph.replay()
