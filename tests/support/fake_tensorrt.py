# SPDX-License-Identifier: Apache-2.0
"""TensorRT's runtime half with the Python API of one version, running plans that are made up.

A plan is a header as TensorRT writes it, and a description in JSON. What it computes is a function
of numpy, which runs on the memory of a `FakeDevice` when its stream comes to it. Names, arguments
and types of every call are judged by the version's table. It shows nothing of TensorRT itself.
"""

from __future__ import annotations

import ctypes
import json
import struct
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tests.support.fake_cuda import FakeDevice
from tests.support.trt_contract import Contract

MAGIC = {"tensorrt": b"ftrt", "tensorrt_rtx": b"vtrt"}
GARBAGE = 0x5A

Function = Callable[[list[np.ndarray]], list[np.ndarray]]
FUNCTIONS: dict[str, Function] = {
    "relu": lambda a: [np.maximum(a[0], 0)],
    "relu and sum": lambda a: [np.maximum(a[0], 0), a[0].sum(-1)],
    "twice": lambda a: [a[0] * 2],
    "first rows": lambda a: [a[0][: int(a[1].reshape(-1)[0])]],
    "relu and rows": lambda a: [np.maximum(a[0], 0), np.array([(a[0][:, 0] > 0).sum()])],
    "positive": lambda a: [a[0][a[0] > 0]],
    "positive and relu": lambda a: [a[0][a[0] > 0], np.maximum(a[0], 0)],
}


def plan_bytes(
    function: str,
    inputs: Mapping[str, Sequence[int]],
    outputs: Mapping[str, Sequence[int]],
    *,
    profiles: Sequence[Mapping[str, Sequence[Sequence[int]]]] = (),
    release: tuple[int, int, int] = (10, 3, 0),
    flavour: str = "tensorrt",
    memory: int = 1000,
    host: Sequence[str] = (),
    values: Sequence[Mapping[str, Sequence[Sequence[int]]]] = (),
    variable: Sequence[str] = (),
    bound: int = 0,
    streamed: int = 0,
    layers: Mapping[str, str] | None = None,
    on_dla: Sequence[str] = (),
) -> bytes:
    """A plan; -1 is an open size, and a profile gives least, usual and greatest of these inputs.

    `host` are int64 in the host's memory, with the same of their `values`. Only the data tells the
    shape of `variable` outputs, for which it asks for `bound` bytes at least. `layers`
    have metadata, and take 1, 2, 3 ... ms; those `on_dla` say so.
    """
    facts = {
        "function": function, "inputs": inputs, "outputs": outputs, "profiles": profiles,
        "memory": memory, "host": host, "values": values, "variable": variable, "bound": bound,
        "streamed": streamed, "layers": layers or {}, "on_dla": on_dla,
    }  # fmt: skip
    body = json.dumps(facts).encode()
    header = bytearray(64)
    header[:4] = MAGIC[flavour]
    struct.pack_into("<Q", header, 16, len(header) + len(body))
    header[24:27] = bytes(release)
    return bytes(header) + body


def host_array(address: int, shape: Sequence[int]) -> np.ndarray:
    """Sizes at an address of the host."""
    count = int(np.prod(shape, dtype=np.int64))
    memory = (ctypes.c_int64 * count).from_address(address)
    return np.frombuffer(memory, np.int64).reshape(shape)


class FakeTensorRt(Contract):
    """The module, over one device.

    Attributes:
        cores: How many DLA cores it finds.
        refuses: What it reports in place of deserializing a plan.
        fails: Whether an enqueue fails.
        cache: Bytes of the L2 cache that may be persistent.
        deserialized: By plan: the DLA core that was chosen before, or None.
        contexts: Those that live.
        torn_down: How many contexts lived when an engine died; all 0 where the order is right.
    """

    def __init__(self, version: str, device: FakeDevice, *, cores: int = 0) -> None:
        super().__init__(version)
        self.device, self.cores = device, cores
        self.refuses, self.fails = "", False
        self.cache = 0
        self.deserialized: list[int | None] = []
        self.contexts: weakref.WeakSet[Any] = weakref.WeakSet()
        self.torn_down: list[int] = []
        self.__version__ = version.rpartition("-")[2]

    def read(self, thing: Any, name: str) -> Any:
        if (type(thing).__name__, name) == ("Runtime", "num_DLA_cores"):
            return self.cores
        return super().read(thing, name)

    def write(self, thing: Any, name: str, value: Any) -> None:
        if name == "weight_streaming_budget_v2":
            living = [c for c in self.contexts if c._facts["engine"] is thing._facts]
            assert not living, "the budget of weights can't change while contexts live"
            # What a context needs grows by a place for weights that come and go.
            streamed = value < thing.streamable_weights_size
            thing.__dict__["device_memory_size_v2"] = thing._facts["memory"] + 512 * streamed
        if name == "persistent_cache_limit" and value > self.cache:
            text = "persistentCacheLimit is larger than the device's persistent L2 cache"
            thing._facts["recorder"].report_error(None, text)
            return
        super().write(thing, name, value)

    def _get_weight_streaming_automatic_budget(self, engine: Any) -> int:
        return engine.streamable_weights_size // 2

    def _made(self, kind: str, facts: dict[str, Any], **properties: Any) -> Any:
        """An object with those properties that exist in this version."""
        known = self.classes[kind].properties
        return self.classes[kind](
            _facts=facts, **{name: value for name, value in properties.items() if name in known}
        )

    # -- Runtime -----------------------------------------------------------------------------

    def _deserialize_cuda_engine(self, runtime: Any, serialized_engine: Any) -> Any:
        data = bytes(serialized_engine)
        if self.refuses or data[:4] not in MAGIC.values():
            text = self.refuses or "Serialization assertion magicTag == kEXPECTED_MAGIC_TAG failed"
            message = f"IRuntime::deserializeCudaEngine: Error Code 1: Serialization ({text}.)"
            runtime.error_recorder.report_error(None, message)
            return None
        facts = json.loads(data[64:])
        facts["recorder"] = runtime.error_recorder
        self.deserialized.append(runtime.__dict__.get("DLA_core"))
        engine = self._made(
            "ICudaEngine",
            facts,
            num_io_tensors=len(facts["inputs"]) + len(facts["outputs"]),
            num_optimization_profiles=max(1, len(facts["profiles"])),
            device_memory_size_v2=facts["memory"],
            streamable_weights_size=facts["streamed"],
            num_layers=len(facts["layers"]),
            weight_streaming_budget_v2=facts["streamed"],
        )
        weakref.finalize(engine, lambda: self.torn_down.append(len(self.contexts)))
        return engine

    # -- ICudaEngine -------------------------------------------------------------------------

    def _get_tensor_name(self, engine: Any, index: int) -> str:
        return [*engine._facts["outputs"], *engine._facts["inputs"]][index]

    def _get_tensor_mode(self, engine: Any, name: str) -> Any:
        mode = "INPUT" if name in engine._facts["inputs"] else "OUTPUT"
        return getattr(self.enums["TensorIOMode"], mode)

    def _get_tensor_location(self, engine: Any, name: str) -> Any:
        location = "HOST" if name in engine._facts["host"] else "DEVICE"
        return getattr(self.enums["TensorLocation"], location)

    def _get_tensor_profile_shape(self, engine: Any, name: str, profile_index: int) -> Any:
        return engine._facts["profiles"][profile_index][name]

    def _get_tensor_profile_values(self, engine: Any, name: int, profile_index: str) -> Any:
        known = engine._facts["values"]  # the names of the arguments are mixed up
        return known[name][profile_index] if known else []

    def _is_shape_inference_io(self, engine: Any, name: str) -> bool:
        return name in engine._facts["host"]

    def _get_tensor_dtype(self, engine: Any, name: str) -> Any:
        kind = "INT64" if name in engine._facts["host"] else "FLOAT"
        return getattr(self.enums["DataType"], kind)

    def _create_execution_context(self, engine: Any, strategy: Any) -> Any:
        assert strategy.name == "USER_MANAGED", "contexts are to have no memory of their own"
        facts: dict[str, Any] = {
            "engine": engine._facts,
            "shapes": {},
            "addresses": {},
            "allocators": {},
            "scratch": (0, 0),
            "recorder": engine._facts["recorder"],
            "memory": engine.device_memory_size_v2,
        }
        context = self._made(
            "IExecutionContext", facts, active_optimization_profile=0, persistent_cache_limit=0
        )
        self.contexts.add(context)
        return context

    def _create_engine_inspector(self, engine: Any) -> Any:
        return self._made("EngineInspector", engine._facts)

    def _get_layer_information(self, inspector: Any, layer_index: int, **more: Any) -> str:
        assert more["format"].name == "JSON"
        name, metadata = [*inspector._facts["layers"].items()][layer_index]
        # Without details TensorRT gives a name alone, in quotes.
        kind = "DLA" if name in inspector._facts["on_dla"] else "CaskConvolution"
        told = {"Name": name, "LayerType": kind, "Metadata": metadata}
        return json.dumps(told if metadata else name)

    # -- IExecutionContext -------------------------------------------------------------------

    def _set_device_memory(self, context: Any, memory: int, size: int) -> None:
        assert size >= context._facts["memory"]
        context._facts["scratch"] = (memory, size)

    def _set_optimization_profile_async(
        self, context: Any, profile_index: int, stream_handle: int
    ) -> bool:
        assert stream_handle > 0
        context.__dict__["active_optimization_profile"] = profile_index
        context._facts["shapes"].clear()
        return True

    def _set_input_shape(self, context: Any, name: str, shape: Any) -> bool:
        profiles = context._facts["engine"]["profiles"]
        least, _, most = profiles[context.active_optimization_profile][name]
        held = all(a <= n <= b for a, n, b in zip(least, shape, most, strict=True))
        context._facts["shapes"][name] = tuple(shape)
        return held

    def _infer_shapes(self, context: Any) -> list[str]:
        facts = context._facts
        missing = set(facts["engine"]["host"]) - facts["addresses"].keys()
        return [
            n
            for n, s in facts["engine"]["inputs"].items()
            if (-1 in s and n not in facts["shapes"]) or n in missing
        ]

    def _get_tensor_shape(self, thing: Any, name: str) -> tuple[int, ...]:
        facts = thing._facts
        if type(thing).__name__ == "ICudaEngine":
            return tuple({**facts["inputs"], **facts["outputs"]}[name])
        engine = facts["engine"]
        if name in engine["inputs"]:
            return facts["shapes"].get(name, tuple(engine["inputs"][name]))
        if name in engine["variable"]:
            return tuple(engine["outputs"][name])
        zeros = [np.zeros(s, np.float32) for s in self._shapes(facts)]
        return self._results(facts, self._with_host(facts, zeros))[name].shape

    def _set_tensor_address(self, context: Any, name: str, memory: int) -> bool:
        context._facts["addresses"][name] = memory
        return memory > 0 and (name in context._facts["engine"]["host"] or memory % 256 == 0)

    def _set_output_allocator(self, context: Any, name: str, output_allocator: Any) -> bool:
        assert name not in context._facts["allocators"], "every setting keeps the allocator"
        context._facts["allocators"][name] = output_allocator
        return True

    def _execute_async_v3(self, context: Any, stream_handle: int) -> bool:
        self.device.note("enqueue")
        if self.fails:
            return False
        facts = context._facts
        names = {*facts["engine"]["inputs"], *facts["engine"]["outputs"]}
        assert names == facts["addresses"].keys() | facts["allocators"].keys(), "lacks an address"
        if profiler := context.__dict__.get("profiler"):
            assert self.device.by_handle(stream_handle).captured is None
            for number, name in enumerate(facts["engine"]["layers"], 1):
                profiler.report_layer_time(name, float(number))
        # As it is when it is queued or captured; what the host has is read then.
        snapshot = {**facts, "shapes": dict(facts["shapes"]), "stream": stream_handle}
        snapshot["read"] = self._with_host(facts, [None] * len(facts["engine"]["inputs"]))
        stream = self.device.by_handle(stream_handle)
        if not facts["allocators"]:
            stream.queue(lambda: self._run(snapshot))
            return True
        stream.synchronize()  # it has to know
        return self._run(snapshot)

    # -- what a plan does --------------------------------------------------------------------

    def _run(self, facts: dict[str, Any]) -> bool:
        device, addresses = self.device, facts["addresses"]
        names = facts["engine"]["inputs"]
        inputs = [
            device.read(addresses[n], s, np.dtype(np.float32)).copy() if value is None else value
            for n, s, value in zip(names, self._shapes(facts), facts["read"], strict=True)
        ]
        device.read(facts["scratch"][0], (facts["scratch"][1],), np.dtype(np.uint8))[:] = GARBAGE
        for name, result in self._results(facts, inputs).items():
            address = addresses.get(name, 0)
            if name in facts["allocators"]:
                allocator = facts["allocators"][name]
                size = max(facts["engine"]["bound"], result.nbytes)
                address = allocator.reallocate_output_async(name, 0, size, 256, facts["stream"])
                if not address:
                    return False
                allocator.notify_shape(name, result.shape)
            if name in facts["engine"]["host"]:
                host_array(address, result.shape)[...] = result
            else:
                device.write(address, np.ascontiguousarray(result))
        return True

    def _with_host(self, facts: dict[str, Any], arrays: list[Any]) -> list[Any]:
        """The inputs, with those that the host has as they are now."""
        names = [*facts["engine"]["inputs"]]
        return [
            host_array(facts["addresses"][name], facts["engine"]["inputs"][name]).copy()
            if name in facts["engine"]["host"]
            else array
            for name, array in zip(names, arrays, strict=True)
        ]

    def _shapes(self, facts: dict[str, Any]) -> list[tuple[int, ...]]:
        return [facts["shapes"].get(n, tuple(s)) for n, s in facts["engine"]["inputs"].items()]

    def _results(self, facts: dict[str, Any], inputs: list[np.ndarray]) -> dict[str, np.ndarray]:
        results = FUNCTIONS[facts["engine"]["function"]](inputs)
        return dict(zip(facts["engine"]["outputs"], results, strict=True))
