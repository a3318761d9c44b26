# SPDX-License-Identifier: Apache-2.0
"""Running a plan on a lane of the GPU or of a DLA core."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_trt_runtime.dtypes import NUMPY_DTYPES
from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.hybrid.arrays import DeviceSpace
from edge_trt_runtime.hybrid.memory import aligned
from edge_trt_runtime.layers import RawTime, medians
from edge_trt_runtime.tensorrt.allocator import Outputs, allocator_of
from edge_trt_runtime.tensorrt.profiling import attach_profiler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edge_trt_runtime.cuda import Device
    from edge_trt_runtime.hybrid.arrays import DeviceView
    from edge_trt_runtime.plan import Step
    from edge_trt_runtime.tensorrt.engine import LoadedPlan
    from edge_trt_runtime.tensorrt.shared import Lease


class TensorRtExecutor:
    """A plan, shared with whoever else loaded the same one.

    Attributes:
        capturable: Whether a CUDA graph may hold it: DLA can't be captured, and weights that are
            streamed neither.
        scratch: Bytes of device memory that a call uses while it runs. Calls that follow each
            other on a lane share them.
        variable: Whether an output has a shape that only the data tells.
    """

    def __init__(
        self,
        lease: Lease,
        step: Step,
        greatest: Mapping[str, int],
        device: Device,
        *,
        gpu: bool,
        persistent_cache: int | None = None,
    ) -> None:
        """Take over a loaded plan.

        Args:
            lease: Holds the plan; given back by :meth:`close`.
            step: The segment, and which of its outputs are needed.
            greatest: Bytes at most of every value of the segment.
            device: Where it runs.
            gpu: Whether it runs on the GPU alone.
            persistent_cache: Bytes of the L2 cache that contexts may keep activations in.

        Raises:
            EngineError: When the plan is not the segment's.
        """
        self.segment = step.segment.name
        self.plan: LoadedPlan = lease.plan
        self.inputs = step.segment.inputs
        self.outputs = step.wanted
        self.variable = bool(self.plan.variable)
        # TensorRT reads the host's memory while it queues, and there it waits for such shapes.
        by_host = self.variable or bool(self.plan.on_host)
        self.capturable = gpu and not self.plan.streams_weights and not by_host
        self.device = device
        self.greatest = greatest
        self.dtypes = {t.name: NUMPY_DTYPES[t.dtype] for t in step.segment.tensors}
        self.persistent_cache = persistent_cache
        self._lease = lease
        self.plan.check_names(self.inputs, step.segment.outputs, self.dtypes)
        self.scratch = aligned(self.plan.memory)
        # TensorRT writes every output. What nobody reads goes behind its own scratch.
        self.unread: dict[str, int] = {}
        for name in self.plan.outputs:
            if name not in self.outputs and name not in self.plan.on_host:
                self.unread[name] = self.scratch
                self.scratch += aligned(greatest[name])

    def bind(
        self, inputs: list[DeviceView], outputs: list[DeviceSpace], stream: int, scratch: int
    ) -> TensorRtCall:
        """Prepare calls; see :class:`edge_trt_runtime.hybrid.arrays.DeviceExecutor`."""
        return TensorRtCall(self, inputs, outputs, stream, scratch)

    def capture(self, work: Callable[[], None], stream: int) -> None:
        """Leave it to CUDA."""
        del work, stream

    def close(self) -> None:
        """Give the plan back."""
        self._lease.release()


class TensorRtCall:
    """An execution context with shapes and addresses set: a call is one call of TensorRT's.

    Every set of shapes has a context of its own, as a captured graph needs one that stays as it
    was. Contexts have no memory of their own, so they are small.
    """

    def __init__(
        self,
        executor: TensorRtExecutor,
        inputs: Sequence[DeviceView],
        outputs: Sequence[DeviceSpace],
        stream: int,
        scratch: int,
    ) -> None:
        """Use :meth:`TensorRtExecutor.bind`."""
        self._executor = executor
        self._given = inputs, outputs, stream, scratch
        self._stream = stream
        plan = executor.plan
        self._context: Any = plan.context(executor.persistent_cache)
        self._context.set_device_memory(scratch, plan.memory)
        given = dict(zip(executor.inputs, inputs, strict=True))
        spaces = dict(zip(executor.outputs, outputs, strict=True))
        self._kept: list[np.ndarray] = []  # what the host's addresses are of
        for name in plan.on_host & given.keys():  # before shapes are inferred from them
            self._set_address(name, self._host_address(name, given[name].host))
        self._set_shapes(given, stream)
        self._set_addresses(given, spaces, scratch)
        self._spaces = spaces
        self._results = self._set_allocator(scratch)
        self.shapes = [
            () if name in plan.variable else self._fit(name, space)
            for name, space in spaces.items()
        ]
        self._execute: Callable[[int], bool] = self._context.execute_async_v3

    def enqueue(self) -> None:
        """Queue the plan.

        Raises:
            EngineError: When TensorRT fails.
        """
        plan, results = self._executor.plan, self._results
        if plan.infers_outputs:
            self._context.infer_shapes()  # it writes them
        if results is None:
            if not self._execute(self._stream):
                raise plan.failure("TensorRT failed while queueing it")
            return
        results.begin()
        if not self._execute(self._stream):
            error = results.error
            raise plan.failure("TensorRT failed while queueing it") if error is None else error
        results.finish(self._stream)
        self.shapes = [
            results.shapes.get(name, shape)
            for name, shape in zip(self._executor.outputs, self.shapes, strict=True)
        ]

    def layer_times(self, synchronize: Callable[[], object], runs: int) -> list[RawTime]:
        """Run some times by a context of its own, and tell what the layers take.

        With a profiler an enqueue waits until the plan is over, and so can't be captured.

        Raises:
            EngineError: When TensorRT fails.
        """
        twin = TensorRtCall(self._executor, *self._given)
        try:
            times = attach_profiler(self._executor.plan.library.module, twin._context)
            counted: list[dict[str, float]] = []
            for _ in range(runs + 1):
                twin.enqueue()
                synchronize()
                counted.append(dict(times))
                times.clear()
        finally:
            twin.close()
        described = self._executor.plan.descriptions()
        return [  # without the first one, which warms up
            RawTime(name, seconds, described.get(name, ""))
            for name, seconds in medians(counted[1:], 1e-3)
        ]

    def close(self) -> None:
        """Destroy the context."""
        self._execute = _closed
        self._context = None
        if self._results is not None:
            self._results.close()

    def _set_address(self, name: str, pointer: int) -> None:
        if not self._context.set_tensor_address(name, pointer):
            raise self._executor.plan.failure(f"refuses the address of {name!r}")

    def _host_address(self, name: str, array: np.ndarray | None) -> int:
        """Return where the host has a value; what nobody reads gets room of its own."""
        if array is None:
            array = np.empty(max(8, self._executor.greatest[name]), np.uint8)
        self._kept.append(array)
        return array.ctypes.data

    def _set_addresses(
        self, given: Mapping[str, DeviceView], spaces: Mapping[str, DeviceSpace], scratch: int
    ) -> None:
        plan, unread = self._executor.plan, self._executor.unread
        for name in (*plan.inputs, *plan.outputs):
            if name in plan.variable or (name in given and name in plan.on_host):
                continue
            place = given.get(name) or spaces.get(name)
            if name in plan.on_host:
                pointer = self._host_address(name, None if place is None else place.host)
            else:
                pointer = scratch + unread[name] if place is None else place.pointer
            self._set_address(name, pointer)

    def _set_allocator(self, scratch: int) -> Outputs | None:
        """Set what gives memory to outputs without a shape; once, as each setting keeps it."""
        executor = self._executor
        plan = executor.plan
        if not plan.variable:
            return None
        spaces = {
            name: self._spaces.get(name)
            or DeviceSpace(
                scratch + executor.unread[name], executor.greatest[name], executor.dtypes[name]
            )
            for name in plan.variable
        }
        results = Outputs(executor.device, spaces, executor.segment)
        self._allocator = allocator_of(plan.library.module, results)
        for name in spaces:
            if not self._context.set_output_allocator(name, self._allocator):
                raise plan.failure(f"refuses an allocator for {name!r}")
        return results

    def _set_shapes(self, given: Mapping[str, DeviceView], stream: int) -> None:
        plan, context = self._executor.plan, self._context
        shapes = {name: array.shape for name, array in given.items()}
        values = {
            name: tuple(array.host.reshape(-1).tolist())
            for name, array in given.items()
            if array.host is not None
        }
        index = plan.profile_for(shapes, values)
        if context.active_optimization_profile != index and not (
            context.set_optimization_profile_async(index, stream)
        ):
            raise plan.failure(f"refuses profile {index}")
        for name in plan.profiles[index] if plan.profiles else ():
            if not context.set_input_shape(name, shapes[name]):
                raise plan.failure(f"refuses shape {list(shapes[name])} of input {name!r}")
        missing = context.infer_shapes()
        if missing:
            raise plan.failure(f"can't tell its shapes without {', '.join(missing)}")

    def _fit(self, name: str, space: DeviceSpace) -> tuple[int, ...]:
        """Return the shape of an output, which must have room."""
        shape = tuple(int(size) for size in self._context.get_tensor_shape(name))
        size = prod(shape) * space.dtype.itemsize
        if min(shape, default=0) < 0 or size > space.capacity:
            raise EngineError(
                f"segment {self._executor.segment!r} gives {name!r} of shape {list(shape)} where "
                f"the bundle says at most {space.capacity} bytes",
                segment=self._executor.segment,
                hint="build the bundle again",
            )
        return shape


def _closed(stream: int) -> bool:
    del stream
    return False
