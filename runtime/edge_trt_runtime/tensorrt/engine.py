# SPDX-License-Identifier: Apache-2.0
"""A deserialized plan: its tensors, its profiles, and contexts to run it in."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edge_trt_runtime.errors import EngineError
from edge_trt_runtime.tensorrt.messages import Messages, error_recorder, logging_to
from edge_trt_runtime.tensorrt.profiling import (
    EngineLayer,
    engine_layers,
    layer_descriptions,
)
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


def dla_cores(library: Library) -> int:
    """Return how many DLA cores TensorRT offers here; the device must be current."""
    with logging_to(library.module, Messages()) as logger:
        return int(library.module.Runtime(logger).num_DLA_cores)


class LoadedPlan:
    """A plan that TensorRT has deserialized; several threads may use it at once.

    Attributes:
        library: Which TensorRT.
        inputs: Names in the plan's order.
        outputs: Likewise.
        memory: Bytes of device memory that a context needs for what lies between layers.
        streams_weights: Whether it brings weights to the device while it runs.
        profiles: By profile: bounds of those inputs that have open sizes.
        values: By profile: bounds of the values of those inputs that are sizes themselves.
        on_host: Inputs and outputs that are taken and given in the host's memory.
        infers_outputs: Whether outputs are values that TensorRT computes while it infers shapes.
        variable: Outputs whose shape only the data tells.
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
                "its plan was not built for weight streaming, so all of its weights stay on the "
                "GPU",
                hint="build it with --weight-streaming, or leave the option out of load",
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

    def _unfit(self, why: str, hint: str = "leave the option out of load") -> UnfitOptionError:
        return UnfitOptionError(f"segment {self._name!r}: {why}", segment=self._name, hint=hint)

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
        self.on_host = frozenset(
            name for name in names if engine.get_tensor_location(name) == trt.TensorLocation.HOST
        )
        self.infers_outputs = any(map(engine.is_shape_inference_io, self.outputs))
        open_inputs = [n for n in self.inputs if -1 in tuple(engine.get_tensor_shape(n))]
        self.profiles: list[dict[str, Bounds]] = [
            {name: self._bounds(name, index) for name in open_inputs}
            for index in range(engine.num_optimization_profiles)
        ]
        sizes = [n for n in self.inputs if n in self.on_host and engine.is_shape_inference_io(n)]
        self.values = [
            self._value_bounds(sizes, index) for index in range(engine.num_optimization_profiles)
        ]
        open_outputs = [n for n in self.outputs if -1 in tuple(engine.get_tensor_shape(n))]
        self.variable = self._find_variable(open_outputs) if open_outputs else frozenset[str]()

    def _value_bounds(self, names: Sequence[str], index: int) -> dict[str, Bounds]:
        """Return what values of inputs may be in a profile, where that is limited."""
        found: dict[str, Bounds] = {}
        for name in names:
            # The bindings name these arguments the other way round, so by their places.
            limits = self._engine.get_tensor_profile_values(index, name)
            if limits:
                least, _, most = limits
                found[name] = Bounds(tuple(least), tuple(most))
        return found

    def _find_variable(self, names: Sequence[str]) -> frozenset[str]:
        """Return outputs that have no shape although all inputs have one."""
        context = self.context()
        for name, bounds in (self.profiles[0] if self.profiles else {}).items():
            context.set_input_shape(name, bounds.most)
        kept: list[np.ndarray] = []
        for name, bounds in (self.values[0] if self.values else {}).items():
            kept.append(np.array(bounds.most, self.dtype_of(name)))
            context.set_tensor_address(name, kept[-1].ctypes.data)
        if context.infer_shapes():
            raise self.failure("can't tell its shapes from the sizes of its first profile")
        return frozenset(name for name in names if -1 in tuple(context.get_tensor_shape(name)))

    def dtype_of(self, name: str) -> np.dtype:
        """Return the type of a value in the host's memory, which is int32, int64 or what it is."""
        kind = self._engine.get_tensor_dtype(name)
        data_type = self.library.module.DataType
        known = {"INT32": "int32", "INT64": "int64", "BOOL": "bool", "FLOAT": "float32"}
        for member, numpy_name in known.items():
            if kind == getattr(data_type, member):
                return np.dtype(numpy_name)
        raise self._wrong(f"takes {name!r} in the host's memory, of a type that is no size's")

    def _bounds(self, name: str, index: int) -> Bounds:
        least, _, most = self._engine.get_tensor_profile_shape(name, index)
        return Bounds(tuple(least), tuple(most))

    def check_names(
        self, inputs: Sequence[str], outputs: Sequence[str], dtypes: Mapping[str, np.dtype]
    ) -> None:
        """Refuse a plan that is not of the segment.

        Args:
            inputs: Of the segment.
            outputs: Likewise.
            dtypes: Of both.

        Raises:
            EngineError: Naming what the plan lacks, or wants beside it.
        """
        for name in (*inputs, *outputs):
            if name not in (self.inputs if name in inputs else self.outputs):
                raise self._wrong(f"has no {name!r}: it is of another model")
        for name in self.inputs:
            if name not in inputs:
                raise self._wrong(f"wants {name!r}, which the manifest does not list")

        for name in sorted(self.on_host):
            if self.dtype_of(name) != dtypes[name]:
                raise self._wrong(
                    f"takes {name!r} as {self.dtype_of(name)} in the host's memory, and the "
                    f"manifest says {dtypes[name]}"
                )
        for name in self.variable & self.on_host:
            raise self._wrong(f"gives {name!r} in the host's memory, and does not say how long")

    def _wrong(self, what: str) -> EngineError:
        return EngineError(
            f"the plan of segment {self._name!r} {what}",
            segment=self._name,
            hint="build it again on this machine",
        )

    def profile_for(self, shapes: Mapping[str, Shape], values: Mapping[str, Shape]) -> int:
        """Return the first profile that takes shapes and values.

        Args:
            shapes: By input; those without open sizes may be left out.
            values: Of inputs that are sizes.

        Raises:
            EngineError: When none does, naming the first input that is outside of the first one.
        """
        for index, bounds in enumerate(self.profiles):
            if all(bound.hold(shapes[name]) for name, bound in bounds.items()) and all(
                bound.hold(values[name]) for name, bound in self.values[index].items()
            ):
                return index
        given = [(n, shapes[n], bound) for n, bound in self.profiles[0].items()]
        given += [(n, values[n], bound) for n, bound in self.values[0].items()]
        name, got, bound = next(
            ((name, got, bound) for name, got, bound in given if not bound.hold(got)), given[0]
        )
        raise EngineError(
            f"input {name!r} of segment {self._name!r} is {list(got)}, and its plan takes "
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

    def layers(self) -> list[EngineLayer]:
        """Return its layers, as far as TensorRT describes them."""
        return engine_layers(self.library.module, self._engine)

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
