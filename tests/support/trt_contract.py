# SPDX-License-Identifier: Apache-2.0
"""A stand-in for TensorRT that has exactly what one version's Python API has.

    trt = Contract("10.3.0", network)
    emit(network, trt, trt.Builder(trt_logger).create_network(0))

Every class, method, argument, property and enum member that is used is looked up in that version's
table (`tests/data/tensorrt_api`). What is not there, a wrong argument count, keyword or type, and a
write to a read-only property raise `ViolationError`, an AssertionError that names version and call.
It is an AttributeError too, so that `hasattr` answers as with the real module.

Shapes and types of tensors come from the network that is emitted: TensorRT's own inference is not
part of the contract.
"""

from __future__ import annotations

import functools
import inspect
import json
import numbers
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_trt.network.graph import Network
from edge_trt.network.types import DType, TensorType

DATA = Path(__file__).parents[1] / "data" / "tensorrt_api"
VERSIONS = ("10.3.0", "10.13.3", "11.4.0")
INTERFACES = (
    "IErrorRecorder", "ILogger", "IOutputAllocator", "IProfiler", "IProgressMonitor",
    "IStreamWriter",
)  # fmt: skip
READ_ONLY = {
    "ICudaEngine.engine_capability", "ICudaEngine.hardware_compatibility_level",
    "ICudaEngine.name", "ICudaEngine.num_aux_streams", "ICudaEngine.profiling_verbosity",
    "ICudaEngine.tactic_sources", "INetworkDefinition.flags", "MAX_DESC_LENGTH",
    "active_optimization_profile", "all_binding_shapes_specified", "all_build_routes", "attention",
    "builder", "conditional", "device_memory_size_v2", "dtype", "engine", "engine_header_size",
    "is_execution_tensor", "is_network_input", "is_network_output", "is_shape_tensor", "is_v2",
    "kind", "logger", "loop", "max_DLA_batch_size", "nbytes", "num_DLA_cores", "num_inputs",
    "num_io_tensors", "num_layers", "num_optimization_profiles", "num_outputs", "plugin",
    "refittable", "size", "streamable_weights_size", "type", "weight_streaming_scratch_memory_size",
    "weights_loaded",
}  # fmt: skip
"""Properties without a setter, by name or as `Class.name`."""

TYPES = {
    DType.FLOAT32: "FLOAT", DType.FLOAT16: "HALF", DType.BFLOAT16: "BF16", DType.INT8: "INT8",
    DType.UINT8: "UINT8", DType.INT32: "INT32", DType.INT64: "INT64", DType.BOOL: "BOOL",
}  # fmt: skip


class ViolationError(AssertionError, AttributeError):
    """Something that this TensorRT version does not have."""


class Member:
    """A member of an enum."""

    def __init__(self, enum: str, name: str, index: int) -> None:
        self.enum, self.name, self.index = enum, name, index

    def __int__(self) -> int:
        return self.index

    def __repr__(self) -> str:
        return f"{self.enum}.{self.name}"


class Enum:
    """An enum with the version's members."""

    def __init__(self, version: str, name: str, members: list[str]) -> None:
        self.version, self.name = version, name
        self.__members__ = {m: Member(name, m, i) for i, m in enumerate(members)}

    def __getattr__(self, member: str) -> Member:
        known = self.__dict__.get("__members__", {})
        if member not in known:
            raise ViolationError(f"TensorRT {self.version}: no member {self.name}.{member}")
        return known[member]


class Thing:
    """An object of the API. Its state is what was set and passed."""

    api: Contract
    properties: frozenset[str]

    def __init__(self, **state: Any) -> None:
        self.__dict__.update(state)
        self.__dict__.setdefault("calls", [])

    def __getattr__(self, name: str) -> Any:
        if name in type(self).properties:
            return self.api.read(self, name)
        raise ViolationError(f"TensorRT {self.api.version}: no {type(self).__name__}.{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in type(self).properties:
            raise ViolationError(
                f"TensorRT {self.api.version}: no {type(self).__name__}.{name} to set"
            )
        if is_fixed(type(self).__name__, name):
            raise ViolationError(
                f"TensorRT {self.api.version}: {type(self).__name__}.{name} is fixed"
            )
        self.api.write(self, name, value)


class Plan(bytes):
    """What `IHostMemory` stands for: a buffer."""


class Contract:
    """The module of one version, for the emission and the build of one network.

    Attributes:
        layers: Layers that were added, in order. Each has `kind`, `inputs`, `arguments`, and what
            was set on it.
        outputs: Tensors marked as outputs.
        calls: Every method call as `Class.method`.
        log: The same, as the method with its arguments by name.
    """

    def __init__(self, version: str, network: Network | None = None) -> None:
        table = read_table(version)
        self.version = version
        self.__version__ = version
        self.layers: list[Any] = []
        self.outputs: list[Any] = []
        self.calls: list[str] = []
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.types = {} if network is None else tensor_types(network)
        self.enums = {n: Enum(version, n, m) for n, m in table["enums"].items()}
        self.table: dict[str, Any] = table["classes"]
        self.classes = {name: self._class(name) for name in self.table}

    def __getattr__(self, name: str) -> Any:
        for known in (self.__dict__.get("enums", {}), self.__dict__.get("classes", {})):
            if name in known:
                return known[name]
        raise ViolationError(f"TensorRT {self.version}: no tensorrt.{name}")

    # -- classes -----------------------------------------------------------------------------

    def _class(self, name: str) -> Any:
        if name in INTERFACES:
            return self._interface(name)
        if name == "IHostMemory":
            return Plan
        entry = self.table[name]
        bases = [entry, *([self.table[entry["base"]]] if entry["base"] else [])]
        members: dict[str, Any] = {
            method: self._method(name, method, signatures)
            for base in bases
            for method, signatures in base["methods"].items()
            if method != "__init__"
        }
        properties = frozenset(p for base in bases for p in base["properties"])
        signatures = entry["methods"].get("__init__")
        if signatures:
            members["__init__"] = self._constructor(name, signatures)
        return type(name, (Thing,), {"api": self, "properties": properties, **members})

    def _interface(self, name: str) -> Any:
        """A class to derive from: a subclass must override its methods, with their arity."""
        methods = self.table[name]["methods"]
        contract, constants = self, {m: object() for m, s in methods.items() if s == ["constant"]}
        wanted = {m: s[0] for m, s in methods.items() if m not in constants and m != "__init__"}

        def check(cls: type) -> None:
            for method, signature in wanted.items():
                given = cls.__dict__.get(method)
                count = len(parameters(signature)) + 1
                if given is None or len(inspect.signature(given).parameters) != count:
                    raise ViolationError(
                        f"TensorRT {contract.version}: {cls.__name__} must have"
                        f" {name}.{method}{signature}"
                    )

        hook = classmethod(lambda cls, **_: check(cls))
        return type(name, (), {"__init_subclass__": hook, **constants})

    def _constructor(self, name: str, signatures: list[str]) -> Callable[..., None]:
        def construct(thing: Any, *args: Any, **kwargs: Any) -> None:
            arguments = self.bind(f"{name}.__init__", signatures, args, kwargs)
            values = arguments.get("shape", ())
            if len(values) > 8:  # as the real Dims says it
                raise ValueError(f"Input length {len(values)}. Max expected length is 8")
            Thing.__init__(thing, arguments=arguments)

        return construct

    def _method(self, name: str, method: str, signatures: list[str]) -> Callable[..., Any]:
        def call(thing: Any, *args: Any, **kwargs: Any) -> Any:
            where = f"{type(thing).__name__}.{method}"
            arguments = self.bind(where, signatures, args, kwargs)
            self.calls.append(where)
            self.log.append((method, arguments))
            thing.__dict__["calls"].append((method, arguments))
            return self._result(thing, method, arguments, signatures[0].rpartition("-> ")[2])

        return call

    # -- behaviour ---------------------------------------------------------------------------

    def _result(self, thing: Any, method: str, arguments: dict[str, Any], returns: str) -> Any:
        whole = returns != "IIfConditionalInputLayer"  # which is added by `add_input` too
        special = getattr(self, f"_{method}", None) if whole else None
        if special is not None:
            return special(thing, **arguments)
        if returns.endswith("Layer"):
            return self._layer(returns, method, arguments)
        if returns == "IHostMemory":
            return Plan(2048)
        if returns in self.classes:
            return self.classes[returns]()
        return {"bool": True, "int": 0}.get(returns)

    def _build_serialized_network_to_stream(
        self, _: Any, network: Any, config: Any, writer: Any
    ) -> bool:
        return all(writer.write(bytes(1024)) == 1024 for _ in range(2))

    def _layer(self, kind: str, method: str, arguments: dict[str, Any]) -> Any:
        given = [v for v in arguments.values() if isinstance(v, (self.classes["ITensor"], list))]
        tensors = [t for v in given for t in (v if isinstance(v, list) else [v])]
        added = self.classes[kind](
            kind=kind,
            method=method,
            arguments=arguments,
            inputs=dict(enumerate(tensors)),
            results={},
        )
        self.layers.append(added)
        return added

    def _get_layer(self, _: Any, index: int) -> Any:
        return self.layers[index]

    def _set_input(self, layer: Any, index: int, tensor: Any) -> None:
        layer.inputs[index] = tensor

    def _get_output(self, layer: Any, index: int) -> Any:
        if index not in layer.results:
            layer.results[index] = self.classes["ITensor"](producer=layer, index=index)
        return layer.results[index]

    def _add_input(self, _: Any, name: str, dtype: Member, shape: Any) -> Any:
        sizes = tuple(shape.arguments["shape"])
        state = {"name": name, "dtype": dtype, "shape": sizes, "producer": None, "index": 0}
        return self.classes["ITensor"](**state)

    def _mark_output(self, _: Any, tensor: Any) -> None:
        self.outputs.append(tensor)

    def write(self, thing: Any, name: str, value: Any) -> None:
        """Sets a property that may be set."""
        thing.__dict__[name] = value

    def read(self, thing: Any, name: str) -> Any:
        """The value of a property that was not set."""
        if name in ("shape", "dtype") and type(thing).__name__ == "ITensor":
            return self._tensor(thing, name)
        return {"num_layers": len(self.layers), "is_shape_tensor": False}.get(name)

    def _tensor(self, tensor: Any, name: str) -> Any:
        known = self.types.get(tensor.__dict__.get("name", ""))
        if known is None:
            raise ViolationError(f"nothing is known of the {name} of tensor {tensor.name!r}")
        if name == "dtype":
            return getattr(self.enums["DataType"], TYPES[known.dtype])
        return tuple(size if isinstance(size, int) else -1 for size in known.shape)

    # -- arguments ---------------------------------------------------------------------------

    def bind(
        self, where: str, signatures: list[str], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """Arguments by name, checked against the first signature that takes them."""
        problems: list[str] = []
        for signature in signatures:
            try:
                bound = inspect.Signature(parameters(signature)).bind(*args, **kwargs)
            except TypeError as error:
                problems.append(f"{where}{signature}: {error}")
                continue
            kinds = {p.name: p.annotation for p in parameters(signature)}
            wrong = [f"{n}={v!r}" for n, v in bound.arguments.items() if not self.fits(kinds[n], v)]
            if not wrong:
                return dict(bound.arguments)
            problems.append(f"{where}{signature}: got {', '.join(wrong)}")
        raise ViolationError(f"TensorRT {self.version}: {'; '.join(problems)}")

    def fits(self, kind: str, value: Any) -> bool:
        """Whether the bindings take a value for a parameter of this type."""
        inner = re.fullmatch(r"List\[(.+)\]", kind)
        if inner:
            return isinstance(value, (list, tuple)) and all(self.fits(inner[1], v) for v in value)
        if kind in self.enums:
            return isinstance(value, Member) and value.enum == kind
        if kind == "Dims" and isinstance(value, (list, tuple)):
            return all(isinstance(v, numbers.Integral) for v in value)
        if kind in self.classes:
            base = self.table.get(type(value).__name__, {}).get("base")
            return isinstance(value, self.classes[kind]) or base == kind
        plain = {
            "int": numbers.Integral, "float": numbers.Real, "bool": bool, "str": str,
            "buffer": (bytes, bytearray, memoryview), "ndarray": np.ndarray,
        }  # fmt: skip
        return isinstance(value, plain[kind])


@functools.cache
def read_table(version: str) -> dict[str, Any]:
    """The API table of a version."""
    return json.loads((DATA / f"{version}.json").read_text())


def is_fixed(kind: str, name: str) -> bool:
    """Whether a property can only be read."""
    return name in READ_ONLY or f"{kind}.{name}" in READ_ONLY


@functools.cache
def parameters(signature: str) -> list[inspect.Parameter]:
    """`(input: ITensor, bias: Weights = None) -> X` as parameters with type names.

    A default before a parameter without one, as `add_scale_nd` has it, is none to Python.
    """
    inside = signature[1 : signature.rindex(")")]
    result: list[inspect.Parameter] = []
    may_default = True
    for part in reversed(re.split(r", (?=\w+: )", inside) if inside else []):
        name, _, rest = part.partition(": ")
        kind, _, default = rest.partition(" = ")
        may_default = may_default and bool(default)
        result.append(
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                annotation=kind,
                default=default if may_default else inspect.Parameter.empty,
            )
        )
    return result[::-1]


def tensor_types(network: Network) -> dict[str, TensorType]:
    """Types by tensor name; uint8 travels as int32 under a name of its own."""
    inputs = [t for net in (network, *network.bodies()) for t in net.inputs]
    tensors = [*inputs, *(t for node in network.walk() for t in node.outputs)]
    types = {t.name: t.type for t in tensors}
    narrow = [t for t in tensors if t.dtype is DType.UINT8]
    return types | {f"{t.name}/int32": t.type.with_dtype(DType.INT32) for t in narrow}
