# SPDX-License-Identifier: Apache-2.0
"""Which operator is converted how, and under which condition.

A converter is a function whose first parameter is the `Context` and whose other parameters are
names from the ATen schema: the driver passes those, with defaults filled in. Its support predicate
takes a subset of the same names, bound to `fx.Node`s or Python values, and returns None or the
sentence that says why not. The partitioner and the driver ask the same predicate.

    @converter(aten.silu.default)
    def silu(ctx: Context, self: Tensor) -> Tensor:
        return ctx.elementwise("PROD", self, ctx.activation("SIGMOID", self))
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from edge_trt.conversion.blame import asked
from edge_trt.conversion.origin import operator_of, written_by
from edge_trt.network.types import DType

Predicate = Callable[..., "str | None"]
Overload = Any
"""An ATen overload such as `torch.ops.aten.relu.default`, or a Python function on sizes."""


@dataclass(frozen=True, slots=True)
class Converter:
    """A converter with what it declares."""

    function: Callable[..., Any]
    parameters: tuple[str, ...]
    predicate: Predicate | None
    predicate_parameters: tuple[str, ...]
    evaluates: bool
    """True for evaluators: they take values known at compile time or sizes."""
    note: str = ""
    """The predicate's condition in words, for the operator table in the docs."""
    numbers: tuple[str, ...] = ()
    """Parameters that take numbers only (annotated `Scalar`), and no sizes that vary."""


CONVERTERS: dict[Overload, Converter] = {}
REFUSED: dict[Overload, str] = {}
"""Operators that have no converter, and the sentence that says why and what helps."""
REFUSED_BY_NAME: dict[str, str] = {}
"""The same for overloads of libraries that may be imported later, or never."""
REFUSED_PART = "edge_trt.refused_part"
"""Where a call that can't be decomposed holds the part that is in the way, and its reason."""
ASKS_FOR_SIZE = "edge_trt.asks_for_size"
"""Set for a call that is written in smaller operators only where its sizes are known."""
NO_NAN = "no NaN"
"""Note of an operator that may take NaN for a number; the table's head says why."""


def converter(*overloads: Overload, when: Predicate | None = None, note: str = "") -> Any:
    """Registers the decorated function for ATen overloads.

    For the library itself; `edge_trt.converter` is for everyone else.

    Raises:
        TypeError: at import, if a parameter is not in the schema of one of the overloads, or an
            overload already has a converter.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for overload in overloads:
            _register(overload, function, when, note, evaluates=False)
        return function

    return register


def table(
    rows: Mapping[Overload, Any],
    function: Callable[..., Any],
    *,
    when: Predicate | None = None,
    note: str = "",
) -> None:
    """Registers 1:1 operators as rows: overload -> the second argument of `function`.

    table({aten.exp.default: "EXP"}, lambda ctx, op, self: ctx.unary(op, self))
    """
    names = tuple(inspect.signature(function).parameters)
    for overload, row in rows.items():

        def convert(ctx: Any, *, row: Any = row, **arguments: Any) -> Any:
            return function(ctx, row, **arguments)

        parameters = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY) for n in names[2:]]
        first = inspect.Parameter(names[0], inspect.Parameter.POSITIONAL_ONLY)
        convert.__signature__ = inspect.Signature([first, *parameters])  # type: ignore[attr-defined]
        convert.__name__, convert.__module__ = f"{function.__name__}[{row}]", function.__module__
        _register(overload, convert, when, note, evaluates=False)


def refuse(reason: str, *operators: Any) -> None:
    """Gives the reason why some overloads, or all overloads of an operator, have no converter.

    An operator that not every PyTorch has from the oldest supported one on is given by its name.

    Raises:
        TypeError: at import, if one of them has a reason already.
    """
    for given in operators:
        operator = getattr(torch.ops.aten, given, None) if isinstance(given, str) else given
        if operator is None:
            continue
        single = isinstance(operator, torch._ops.OpOverload)
        for overload in (
            [operator] if single else [getattr(operator, o) for o in operator.overloads()]
        ):
            if overload in REFUSED:
                raise TypeError(f"{overload} is refused already: {REFUSED[overload]}")
            REFUSED[overload] = f"{operator}: {reason}"


def evaluator(*functions: Overload, when: Callable[[fx.Node], str | None] | None = None) -> Any:
    """Registers the decorated function for what is computed on sizes and Python values.

    `when` is asked about the whole call, since Python's functions have no named arguments.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for target in functions:
            _register(target, function, when, "", evaluates=True)
        return function

    return register


def _register(
    target: Overload,
    function: Callable[..., Any],
    when: Predicate | None,
    note: str,
    *,
    evaluates: bool,
    override: bool = False,
) -> None:
    if target in CONVERTERS and not override:
        raise TypeError(f"{target} has a converter already: {CONVERTERS[target].function}")
    parameters = tuple(inspect.signature(function).parameters)[1:]
    asked = tuple(inspect.signature(when).parameters) if when is not None else ()
    if isinstance(target, torch._ops.OpOverload) and not evaluates:
        names = {a.name for a in target._schema.arguments}
        unknown = [p for p in (*parameters, *asked) if p not in names]
        if unknown:
            raise TypeError(f"{function.__name__}: {unknown} not in the schema {target._schema}")
    annotations = function.__annotations__
    numbers = tuple(p for p in parameters if annotations.get(p) in ("Scalar", "Scalar | None"))
    CONVERTERS[target] = Converter(function, parameters, when, asked, evaluates, note, numbers)


def bind(node: fx.Node) -> Mapping[str, Any]:
    """Arguments of a call by schema name, defaults filled in; Nodes stay Nodes."""
    target: Any = node.target
    if isinstance(target, torch._ops.HigherOrderOperator):
        names = tuple(inspect.signature(type(target).__call__).parameters)[1:]
        return dict(zip(names, node.args, strict=True)) | dict(node.kwargs)
    if not isinstance(target, torch._ops.OpOverload):
        return {f"arg{i}": value for i, value in enumerate(node.args)} | dict(node.kwargs)
    bound: dict[str, Any] = {}
    for i, argument in enumerate(target._schema.arguments):
        if not argument.kwarg_only and i < len(node.args):
            bound[argument.name] = node.args[i]
        elif argument.name in node.kwargs:
            bound[argument.name] = node.kwargs[argument.name]
        else:
            bound[argument.name] = argument.default_value
    return bound


def support(node: fx.Node) -> str | None:
    """None if the node can be converted, else the sentence that says why not and what helps.

    Raises:
        ConversionError: the condition of a converter fails, or answers with no sentence.
    """
    if node.op in ("get_attr", "placeholder", "output"):
        return None
    entry = lookup(node.target)
    if entry is None:
        known = REFUSED.get(node.target) or REFUSED_BY_NAME.get(str(node.target))
        known = known or _part_reason(node) or _size_reason(node) or _writer_reason(node)
        return known or _no_converter(operator_of(node))
    reason = _type_reason(node) or (None if entry.evaluates else _number_reason(node, entry))
    if reason is not None or entry.predicate is None:
        return reason
    if entry.evaluates:
        return asked(node, entry.predicate, node)
    bound = bind(node)
    arguments = {name: bound[name] for name in entry.predicate_parameters}
    return asked(node, entry.predicate, **arguments)


def _no_converter(name: str) -> str:
    return f"{name} has no converter"


def _writer_reason(node: fx.Node) -> str | None:
    writer = written_by(node)
    if writer is None:
        return None
    written = [a.name for a in writer._schema.arguments if a.alias_info and a.alias_info.is_write]
    return (
        f"{writer} writes to its argument {', '.join(map(repr, written))}, and TensorRT's layers"
        " write to nothing: declare the operator with mutates_args=() and let it return what it"
        " wrote, then give it an edge_trt.converter"
    )


def _size_reason(node: fx.Node) -> str | None:
    if ASKS_FOR_SIZE not in node.meta:
        return None
    return (
        f"{operator_of(node)} is written in smaller operators only where sizes are known, and here"
        " they vary: fix the sizes that it works on"
    )


def _part_reason(node: fx.Node) -> str | None:
    """Why a part is refused that the operator was decomposed into, if that has a reason."""
    part, reason = node.meta.get(REFUSED_PART, ("", None))
    if reason is None or reason == _no_converter(part):
        return None
    return f"{operator_of(node)} is computed by {part}: {reason.removeprefix(f'{part}: ')}"


def lookup(target: Overload) -> Converter | None:
    """The converter of an operator, with all converter files and plug-ins imported."""
    load_library()
    load_plugins()
    return CONVERTERS.get(target)


@functools.cache
def load_library() -> None:
    """Imports all converter files of edge_trt, once."""
    importlib.import_module("edge_trt.conversion.converters")
    importlib.import_module("edge_trt.conversion.evaluators")
    importlib.import_module("edge_trt.conversion.detection")


@functools.cache
def load_plugins() -> None:
    """Imports what installed packages offer, once."""
    importlib.import_module("edge_trt.conversion.plugins").load_installed()


def needs_float(node: fx.Node, what: str) -> str | None:
    """The refusal of what TensorRT does to floats only: `what` as in "convolution"."""
    if node.meta["val"].is_floating_point():
        return None
    return f"TensorRT has no {what} of integers: cast to float in the model"


def _type_reason(node: fx.Node) -> str | None:
    values = [n.meta.get("val") for n in (node, *node.all_input_nodes)]
    for value in _tensors(values):
        if reason := no_type(value):
            return f"{node.target} works on {reason}"
        if value.dim() > 8:
            return f"{node.target} works on {value.dim()} dimensions, TensorRT has at most 8"
    return None


def _number_reason(node: fx.Node, entry: Converter) -> str | None:
    """Numbers computed from sizes become tensors, which are no attributes of a layer."""
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        return None
    schema = {a.name: str(a.type) for a in node.target._schema.arguments}  # type: ignore[union-attr]
    for name, argument in bind(node).items():
        value = argument.meta["val"] if isinstance(argument, fx.Node) else None
        if isinstance(value, (torch.SymFloat, torch.SymBool)) and schema[name] != "Tensor":
            return (
                f"{operator_of(node)} takes a number computed from sizes that is no whole number"
                f" as its {name}: give it a number, or compute with tensors"
            )
        if isinstance(value, torch.SymInt) and name in entry.numbers:
            return (
                f"{operator_of(node)} needs a known {name}: give it a number that no size decides"
            )
    return None


def no_type(value: Any) -> str | None:
    """The name of a tensor's type, and what to use instead, if TensorRT has none such."""
    name = str(value.dtype).removeprefix("torch.") if isinstance(value, torch.Tensor) else ""
    if not name or name in _TYPES:
        return None
    return f"{name}: {_REMEDIES.get(name, 'TensorRT has no such type')}"


_TYPES = {t.value for t in DType}
_REMEDIES = {
    "float64": "TensorRT has no float64, so cast to float32 in the model, or allow"
    " float64_as_float32",
    "int16": "TensorRT has no int16, so use int32 in the model",
    "complex64": "TensorRT has no complex numbers, so compute with real pairs",
}


def _tensors(values: Sequence[Any]) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, (tuple, list)):
            found.extend(_tensors(value))
    return found
