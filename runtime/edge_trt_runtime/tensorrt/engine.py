# SPDX-License-Identifier: Apache-2.0
"""A deserialized plan: its tensors, its profiles, and contexts to run it in."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.tensorrt.messages import Messages, error_recorder, logging_to
from edge_trt_runtime.tensorrt.profiling import layer_descriptions
from edge_trt_runtime.tensorrt.remedies import remedy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge_trt_runtime.tensorrt.library import Library

Shape = tuple[int, ...]


class UnfitOptionError(EngineError):
    """A plan, or this TensorRT, lacks what an option of :func:`edge_trt_runtime.load` asks for."""


class Bounds(NamedTuple):
    """Least and greatest shape of an input in a profile."""

    least: Shape
    most: Shape

    def hold(self, shape: Shape) -> bool:
        """Whether a shape lies within."""
        if len(shape) != len(self.least):
            return False
        return all(a <= n <= b for a, n, b in zip(self.least, shape, self.most, strict=True))


class LoadedPlan:
    """A plan that TensorRT has deserialized; several threads may use it at once.

    Attributes:
        library: Which TensorRT.
        inputs: Names in the plan's order.
        outputs: Likewise.
        memory: Bytes of device memory that a context needs for what lies between layers.
        streams_weights: Whether it brings weights to the device while it runs.
        profiles: By profile: bounds of those inputs that have open sizes.
    """

    def __init__(
        self,
        library: Library,
        data: memoryview | bytes,
        name: str,
        core: int | None = None,
        weight_streaming: int | str | None = None,
    ) -> None:
        """Deserialize a plan; the device must be current.

        Args:
            library: Which TensorRT.
            data: The plan; not needed afterwards.
            name: The segment, for errors.
            core: DLA core to run on, or None for the GPU alone.
            weight_streaming: Bytes of weights that stay on the device, ``"auto"``, or None.

        Raises:
            UnfitOptionError: When weights can't be streamed.
            EngineError: When TensorRT refuses it, with its reason and what helps.
        """
        trt = library.module
        self.library = library
        self._name = name
        self._messages = Messages()
        # Set once: every assignment of a recorder keeps one more reference to it for ever.
        self._recorder = error_recorder(trt, self._messages)
        with logging_to(trt, Messages()) as logger:
            self._runtime: Any = trt.Runtime(logger)
            self._runtime.error_recorder = self._recorder
            if core is not None:
                self._take_core(core)
            self._engine: Any = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            raise self.failure(f"{library} refuses the plan")
        if weight_streaming is not None:
            self._stream_weights(weight_streaming)  # what a context needs depends on it
        self._read_tensors(trt)

    def _take_core(self, core: int) -> None:
        """Choose the DLA core, which has to be done before a plan is deserialized."""
        cores = int(self._runtime.num_DLA_cores)
        if core >= cores:
            raise EngineError(
                f"segment {self._name!r} is for DLA core {core}, and {self.library} finds "
                f"{cores or 'none'} here",
                segment=self._name,
                hint="build it again on this machine, or for the GPU alone",
            )
        self._runtime.DLA_core = core

    def _stream_weights(self, budget: int | str) -> None:
        """Keep no more weights on the device than a budget; contexts must not exist yet."""
        engine = self._engine
        if not hasattr(engine, "weight_streaming_budget_v2"):
            raise self._unfit(f"{self.library} can't stream weights")
        streamable = int(engine.streamable_weights_size)
        if not streamable:
            raise self._unfit(
                "its plan was not built for weight streaming, so all of its weights stay on the GPU"
            )
        if budget == "auto":
            budget = int(engine.get_weight_streaming_automatic_budget())
        wanted = min(int(budget), streamable)
        with suppress(RuntimeError):  # the reason is with the recorder
            engine.weight_streaming_budget_v2 = wanted
        if int(engine.weight_streaming_budget_v2) != wanted:
            raise self._unfit(
                f"{self.library} does not keep {wanted / 1e6:.1f} MB of its weights on the GPU "
                f"({self._reason()})"
            )

    def _limit_cache(self, context: Any, size: int) -> None:
        """Let a context keep activations in the L2 cache."""
        if not hasattr(context, "persistent_cache_limit"):
            raise self._unfit(f"{self.library} can't keep activations in the L2 cache")
        with suppress(RuntimeError):
            context.persistent_cache_limit = size
        if int(context.persistent_cache_limit) != size:
            raise self._unfit(
                f"a persistent cache of {size / 1e6:.1f} MB is refused ({self._reason()})"
            )

    def _unfit(self, why: str) -> UnfitOptionError:
        return UnfitOptionError(
            f"segment {self._name!r}: {why}",
            segment=self._name,
            hint="leave the option out of load",
        )

    def _read_tensors(self, trt: Any) -> None:
        engine = self._engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        is_input = {n: engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT for n in names}
        self.inputs = [name for name in names if is_input[name]]
        self.outputs = [name for name in names if not is_input[name]]
        self.memory = int(engine.device_memory_size_v2)
        streamable = int(engine.streamable_weights_size)
        # A budget of all that can be streamed is TensorRT's default, and streams nothing.
        resident = int(getattr(engine, "weight_streaming_budget_v2", streamable))
        self.streams_weights = resident < streamable
        self._on_host = [
            name for name in names if engine.get_tensor_location(name) == trt.TensorLocation.HOST
        ]
        open_inputs = [n for n in self.inputs if -1 in tuple(engine.get_tensor_shape(n))]
        self.profiles: list[dict[str, Bounds]] = [
            {name: self._bounds(name, index) for name in open_inputs}
            for index in range(engine.num_optimization_profiles)
        ]

    def _bounds(self, name: str, index: int) -> Bounds:
        least, _, most = self._engine.get_tensor_profile_shape(name, index)
        return Bounds(tuple(least), tuple(most))

    def check_names(self, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Refuse a plan that is not of the segment.

        Raises:
            EngineError: Naming what the plan lacks, or wants in the host's memory.
        """
        for name in (*inputs, *outputs):
            if name not in (self.inputs if name in inputs else self.outputs):
                raise self._wrong(f"has no {name!r}: it is of another model")
        for name in self.inputs:
            if name not in inputs:
                raise self._wrong(f"wants {name!r}, which the manifest does not list")
        if self._on_host:
            raise self._wrong(
                f"takes {self._on_host[0]!r} as numbers in the host's memory, which this "
                "edge_trt_runtime does not give"
            )

    def _wrong(self, what: str) -> EngineError:
        return EngineError(
            f"the plan of segment {self._name!r} {what}",
            segment=self._name,
            hint="build it again on this machine",
        )

    def profile_for(self, shapes: Mapping[str, Shape]) -> int:
        """Return the first profile that takes shapes.

        Args:
            shapes: By input; those without open sizes may be left out.

        Raises:
            EngineError: When none does, naming the first input that is outside of the first one.
        """
        for index, bounds in enumerate(self.profiles):
            if all(bound.hold(shapes[name]) for name, bound in bounds.items()):
                return index
        name, bound = next(
            (name, bound)
            for name, bound in self.profiles[0].items()
            if not bound.hold(shapes[name])
        )
        raise EngineError(
            f"input {name!r} of segment {self._name!r} is {list(shapes[name])}, and its plan takes "
            f"{list(bound.least)} to {list(bound.most)}",
            segment=self._name,
            hint="build it again with a wider range",
        )

    def context(self, persistent_cache: int | None = None) -> Any:
        """Make an execution context without memory of its own.

        Args:
            persistent_cache: Bytes of the L2 cache that it may keep activations in.

        Raises:
            UnfitOptionError: When it can't have that.
            EngineError: When TensorRT can't.
        """
        strategy = self.library.module.ExecutionContextAllocationStrategy.USER_MANAGED
        context = self._engine.create_execution_context(strategy)
        if context is None:
            raise self.failure("no execution context could be made")
        if persistent_cache is not None:
            self._limit_cache(context, persistent_cache)
        return context

    def descriptions(self) -> dict[str, str]:
        """Return where each layer comes from, in the compiler's words, as far as it was kept."""
        return layer_descriptions(self.library.module, self._engine)

    def failure(self, what: str) -> EngineError:
        """Say what went wrong, with TensorRT's own reason and what helps."""
        reason = self._reason()
        return EngineError(
            f"segment {self._name!r}: {what} ({reason})", segment=self._name, hint=remedy(reason)
        )

    def _reason(self) -> str:
        texts = self._messages.take()
        return texts[0] if texts else "it gives no reason"

    def close(self) -> None:
        """Give it back: contexts have to be gone, and the runtime goes last."""
        self._engine = None
        self._runtime = None
