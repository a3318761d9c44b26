# SPDX-License-Identifier: Apache-2.0
"""The judges of every converter: eager PyTorch against all that the compiler makes of a module.

    check(nn.ReLU(), (torch.randn(2, 3),), kinds="Activation")
    check(model, (image,), ranges={0: (1, 2, 5)})

1. numerics: the CPU engine gives eager's numbers.
2. validity: TensorRT's builder takes the network, agrees on every shape and type, and builds it.
3. emission: the TensorRT network, read back through its API and interpreted, equals eager.

Each runs at the least, usual, largest and one odd size of the ranges, on fresh random inputs.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.export import ExportedProgram

from edge_trt.capture import Captured, capture
from edge_trt.conversion.driver import convert, to_numpy
from edge_trt.conversion.registry import support
from edge_trt.engines.onnx import CpuRunner
from edge_trt.engines.tensorrt import BuildSettings, Emitted, Flavour, build_plan, emit
from edge_trt.engines.tensorrt import load_flavour as _load_flavour
from edge_trt.engines.tensorrt.flavours import network_flags
from edge_trt.errors import BuildError
from edge_trt.lowering import lower
from edge_trt.network.graph import Network
from edge_trt.network.types import UNKNOWN, DType, TensorType
from edge_trt_runtime.tensorrt.messages import Messages, error_recorder
from tests.support.compare import assert_close, relative_error
from tests.support.random_inputs import Inputs, Ranges, random_like
from tests.support.trt_interpreter import Interpreter, layer_kinds

ORACLES = ("numerics", "validity", "emission")

NOT_BUILT = {
    "NON_ZERO": "TensorRT-RTX has no runner for it without a GPU",
    "NMS": "TensorRT-RTX has no runner for it without a GPU",
}
"""Layer kinds that TensorRT-RTX does not build ahead of time on a machine without a GPU.

For them validity means: constructed, with the shapes and types that we infer.
"""

TYPES = {
    DType.FLOAT32: "FLOAT", DType.FLOAT16: "HALF", DType.BFLOAT16: "BF16", DType.INT8: "INT8",
    DType.UINT8: "UINT8", DType.INT32: "INT32", DType.INT64: "INT64", DType.BOOL: "BOOL",
}  # fmt: skip


class OracleError(AssertionError):
    """An oracle disagrees; the message says which, where and by how much."""


@dataclass
class OracleReport:
    """What was checked, and how well it went."""

    ran: list[str] = field(default_factory=list)
    """Oracles that ran."""
    skipped: dict[str, str] = field(default_factory=dict)
    """What did not run, and why."""
    errors: dict[str, float] = field(default_factory=dict)
    """Largest relative error per oracle."""
    sizes: list[str] = field(default_factory=list)
    """Which sizes of the ranges were run."""
    layers: Counter[str] = field(default_factory=Counter)
    """Our layers by kind."""
    tensorrt_layers: Counter[str] = field(default_factory=Counter)
    """TensorRT's layers by kind."""
    network: Network | None = None

    def __str__(self) -> str:
        errors = ", ".join(f"{name} {value:.2g}" for name, value in self.errors.items())
        skipped = "".join(f"; {name} skipped: {why}" for name, why in self.skipped.items())
        layers = ", ".join(f"{count} {kind}" for kind, count in sorted(self.layers.items()))
        return (
            f"ran {', '.join(self.ran) or 'nothing'} at {', '.join(self.sizes)} sizes"
            f" (relative errors: {errors or 'none'}){skipped}; layers: {layers}"
        )


Lowering = Callable[[ExportedProgram], fx.GraphModule]

Case = tuple[str, list[torch.Tensor], list[torch.Tensor]]
"""Name of the sizes, inputs, eager's outputs."""


def check(
    module: nn.Module | Callable[..., Any],
    inputs: Any,
    *,
    ranges: Ranges | None = None,
    kinds: str | None = None,
    rtol: float = 1e-4,
    atol: float = 1e-5,
    oracles: Sequence[str] = ORACLES,
    rewrite: Callable[[Network], Network] | None = None,
    lowering: Lowering | None = None,
) -> OracleReport:
    """Compiles a module as one block and holds every stage against eager.

    Args:
        module: A module, or a function of tensors.
        inputs: A tuple of positional arguments, a mapping of keyword arguments, or one tensor.
        ranges: `{axis: (min, opt, max)}` for all inputs, or a list with one such mapping per input
            tensor. Equal axes of several inputs are tied; `(name, min, opt, max)` ties by name.
        kinds: Layer kinds that must occur, separated by spaces: `"Activation ElementWise"`.
        rtol: Largest allowed max|result - eager| / max|eager|.
        atol: Differences up to this are no error, whatever eager's magnitude.
        oracles: Which of `ORACLES` to run.
        rewrite: Applied to the network before it is judged, as a change of precision is.
        lowering: Used instead of `edge_trt.lowering.lower`, to convert a graph as it was captured.

    Raises:
        OracleError: an oracle disagrees, a call has no converter, or a kind is missing.
    """
    eager = module if isinstance(module, nn.Module) else _Function(module)
    given = Inputs.of(eager.eval(), inputs, ranges)
    network, captured = compile_block(eager, given, lowering)
    network = rewrite(network) if rewrite else network
    report = OracleReport(network=network, layers=Counter(n.layer.kind for n in network.nodes))
    try:
        network.verify()
        _require(kinds, report)
        cases = _cases(given)
        report.sizes = [name for name, *_ in cases]
        _judge(network, captured, cases, report, (rtol, atol), oracles)
    except (AssertionError, BuildError, NotImplementedError) as error:
        print(network)
        raise OracleError(f"{error} ({report})") from error
    return report


def compile_block(
    module: nn.Module, given: Inputs, lowering: Lowering | None = None
) -> tuple[Network, Captured]:
    """Capture, lowering and conversion, with everything in one network.

    Raises:
        OracleError: a call has no converter; all of them are named, with the reasons.
    """
    captured = capture(module, given.described())
    program = captured.program
    graph = lowering(program) if lowering else lower(program, supported=support)
    reasons = [f"{node.name}: {why}" for node in graph.graph.nodes if (why := support(node))]
    if reasons:
        raise OracleError("not everything can be converted:\n  " + "\n  ".join(reasons))
    for node in list(graph.graph.nodes):
        if node.op == "placeholder" and node.target not in captured.input_names:
            graph.graph.erase_node(node)  # an argument that is no tensor
    network = convert(
        graph,
        "block",
        input_names=captured.input_names,
        output_names=captured.output_names,
        dim_names=captured.symbols,
    )
    return network, captured


def load_flavour() -> Flavour:
    """TensorRT-RTX, whose builder works without a GPU."""
    return _load_flavour("tensorrt_rtx")


@dataclass(frozen=True)
class Definition:
    """A network in TensorRT's hands, with what has to live as long as it does."""

    emitted: Emitted
    messages: Messages
    owners: tuple[Any, ...]

    @classmethod
    def of(cls, network: Network, trt: Any) -> Definition:
        """Emits a network into a fresh, strongly typed definition."""
        messages = Messages()
        recorder = error_recorder(trt, messages)
        builder = trt.Builder(_logger(trt))
        builder.error_recorder = recorder
        definition = builder.create_network(network_flags(trt))
        return cls(emit(network, trt, definition, messages), messages, (builder, recorder))


def check_types(network: Network, definition: Definition) -> None:
    """Every tensor has the shape and type in TensorRT that it has in our network.

    TensorRT may know less of a size than we do where it depends on values, never something else.

    Raises:
        AssertionError: naming the first tensor that differs.
    """
    emitted, found = definition.emitted, definition.emitted.definition
    pairs = [(t, found.get_input(i)) for i, t in enumerate(network.inputs)]
    pairs += [(t, found.get_output(i)) for i, t in enumerate(network.outputs)]
    for ours, theirs in pairs:
        if ours.name != theirs.name:
            raise AssertionError(f"{ours.name} is called {theirs.name} in TensorRT")
    # uint8 exists at the borders only: inside, TensorRT computes with int32
    pairs += [(t, e) for t, e in emitted.tensors.items() if t.dtype is not DType.UINT8]
    for ours, theirs in pairs:
        if TYPES[ours.dtype] != theirs.dtype.name or not _fits(ours.type, tuple(theirs.shape)):
            raise AssertionError(f"{ours!r} is {theirs.dtype.name}{list(theirs.shape)} in TensorRT")


def _fits(ours: TensorType, theirs: tuple[int, ...]) -> bool:
    if len(theirs) != ours.rank:
        return False
    pairs = zip(ours.shape, theirs, strict=True)
    return all(size in (-1, dim) or dim == UNKNOWN for dim, size in pairs)


class _Function(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs)


def _require(kinds: str | None, report: OracleReport) -> None:
    missing = set((kinds or "").split()) - set(report.layers)
    if missing:
        raise AssertionError(f"the network has no {', '.join(sorted(missing))} layer")


def _cases(given: Inputs) -> list[Case]:
    """The example itself, then fresh inputs at every other size of the ranges."""
    cases: list[Case] = []
    for choice in given.choices():
        shapes = given.shapes(choice)
        same = shapes == [list(t.shape) for t in given.tensors]
        pairs = zip(given.tensors, shapes, strict=True)
        tensors = given.tensors if same else [random_like(t, shape) for t, shape in pairs]
        cases.append((choice, tensors, given.eager(tensors)))
    if len(cases) == 1:
        tensors = [random_like(t) for t in given.tensors]
        cases.append(("opt again", tensors, given.eager(tensors)))
    return cases


def _judge(
    network: Network,
    captured: Captured,
    cases: list[Case],
    report: OracleReport,
    tolerance: tuple[float, float],
    oracles: Sequence[str],
) -> None:
    if unknown := set(oracles) - set(ORACLES):
        raise ValueError(f"there is no oracle {', '.join(sorted(unknown))}: choose of {ORACLES}")
    if "numerics" in oracles:
        runner = CpuRunner(network)
        report.ran.append("numerics")
        _compare("numerics", _on_cpu(network, runner), captured, cases, report, tolerance)
    if not {"validity", "emission"} & set(oracles):
        return
    flavour = load_flavour()
    definition = Definition.of(network, flavour.module)
    report.tensorrt_layers = layer_kinds(definition.emitted.definition)
    if "validity" in oracles:
        report.ran.append("validity")
        check_types(network, definition)
        _build(network, captured, flavour, report)
    if "emission" in oracles:
        report.ran.append("emission")
        interpreter = Interpreter(definition.emitted.definition, flavour.module)
        run = _interpreted(network, interpreter)
        _compare("emission", run, captured, cases, report, tolerance)


Run = Callable[[Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]]


def _on_cpu(network: Network, runner: CpuRunner) -> Run:
    def run(feeds: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        arrays = {t.name: to_numpy(feeds[t.name]) for t in network.inputs}
        return {name: _to_torch(array) for name, array in runner.run(arrays).items()}

    return run


def _interpreted(network: Network, interpreter: Interpreter) -> Run:
    names = [tensor.name for tensor in network.inputs]
    return lambda feeds: interpreter.run({name: feeds[name] for name in names})


def _to_torch(array: np.ndarray) -> torch.Tensor:
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def _compare(
    oracle: str,
    run: Run,
    captured: Captured,
    cases: list[Case],
    report: OracleReport,
    tolerance: tuple[float, float],
) -> None:
    for size, tensors, expected in cases:
        results = run(dict(zip(captured.input_names, tensors, strict=True)))
        for name, eager in zip(captured.output_names, expected, strict=True):
            error = relative_error(results[name], eager)
            report.errors[oracle] = max(report.errors.get(oracle, 0.0), error)
            shapes = ", ".join(str(list(t.shape)) for t in tensors)
            what = f"{oracle}: output {name} at {size} sizes ({shapes})"
            assert_close(results[name], eager, what, *tolerance)


def _build(network: Network, captured: Captured, flavour: Flavour, report: OracleReport) -> None:
    reasons = [why for kind, why in NOT_BUILT.items() if report.tensorrt_layers[kind]]
    if reasons:
        report.skipped["build"] = reasons[0]
        return
    settings = BuildSettings(ranges=captured.signature.dims)
    if not len(build_plan(network, flavour=flavour, settings=settings).plan):
        raise AssertionError("validity: TensorRT built an empty plan")


@functools.cache
def _logger(trt: Any) -> Any:
    return trt.Logger(trt.Logger.INTERNAL_ERROR)
