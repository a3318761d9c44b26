# SPDX-License-Identifier: Apache-2.0
"""The signature of an exported program: names, types, ranges and calling convention.

Inputs are called as torch.export names their placeholders. The output is ``output``; of several,
``output_0``, ``output_1``, ...; those of a dict or dataclass by their keys, nested ones joined by
``_``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.export.graph_signature import (
    ConstantArgument,
    InputKind,
    OutputKind,
    TensorArgument,
)
from torch.utils import _pytree as pytree

from edge_trt.capture.inputs import CAST_INSIDE
from edge_trt.capture.symbols import InputShape, Symbols, find_symbols
from edge_trt.capture.trees import (
    constant_entry,
    flatten_with_paths,
    in_tree_text,
    out_tree_text,
)
from edge_trt.errors import CaptureError
from edge_trt_runtime.dtypes import NUMPY_DTYPES
from edge_trt_runtime.manifest import ImageSpec, Signature, State, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch.export import ExportedProgram

    from edge_trt.capture.axes import Axis
    from edge_trt.capture.states import StateInput


@dataclass(frozen=True)
class UserInput:
    """One flattened argument of a program.

    Attributes:
        name: Name of its placeholder.
        value: The placeholder's fake tensor, or None for a constant.
        constant: The value it was captured with, when it is a constant.
    """

    name: str
    value: torch.Tensor | None
    constant: object = None


def user_inputs(program: ExportedProgram) -> list[UserInput]:
    """Return the flattened arguments of a program in order, constants included.

    Raises:
        CaptureError: When an argument is neither a tensor nor a constant.
    """
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    found: list[UserInput] = []
    for spec in program.graph_signature.input_specs:
        if spec.kind is not InputKind.USER_INPUT:
            continue
        if isinstance(spec.arg, ConstantArgument):
            found.append(UserInput(spec.arg.name, None, spec.arg.value))
        elif isinstance(spec.arg, TensorArgument):
            found.append(UserInput(spec.arg.name, nodes[spec.arg.name].meta["val"]))
        else:
            raise CaptureError(
                f"the program takes {spec.arg.name!r}, which is neither a tensor nor a constant",
                hint="pass sizes and objects as constants, or as tensors",
            )
    return found


@dataclass(frozen=True)
class Known:
    """What is known of a tensor argument besides the program.

    Attributes:
        axes: Ranges that its user asked for, by dimension.
        example: A tensor that fits; its sizes are the optimum where no range was asked for.
        image: How an image file becomes it.
    """

    axes: Mapping[int, Axis]
    example: torch.Tensor | None
    image: ImageSpec | None


def make_signature(
    program: ExportedProgram,
    known: Mapping[int, Known],
    image: ImageSpec | None,
    states: Sequence[StateInput] = (),
) -> tuple[Signature, Symbols]:
    """Describe a program.

    Args:
        program: The program.
        known: More about each tensor argument, by position among the flattened ones.
        image: Preprocessing for the first input that looks like an image and has none of its own.
        states: Buffers that are inputs and outputs, the last of each.

    Raises:
        CaptureError: When inputs or outputs can't be passed through numpy, or have no limits.
        OptionError: When a range is asked for that the program does not take.
    """
    arguments = user_inputs(program)
    symbols = find_symbols(program, list(input_shapes(arguments, known).values()))
    inputs: list[TensorSpec] = []
    for position, argument in enumerate(arguments):
        if argument.value is None:
            continue
        own = known[position].image if position in known else None
        spec = _tensor_spec("input", argument.name, argument.value, symbols, own)
        if image is not None and own is None and _looks_like(spec, image):
            spec = TensorSpec(spec.name, spec.dtype, spec.shape, image)
            image = None
        inputs.append(spec)
    outputs, out_tree = _outputs(program, symbols, [state.output for state in states])
    signature = Signature(
        inputs=inputs,
        outputs=outputs,
        dims=symbols.dims,
        in_tree=_in_tree(program, arguments[: len(arguments) - len(states)]),
        out_tree=out_tree,
        states=[State(state.input, state.output) for state in states],
    )
    return signature, symbols


def input_shapes(
    arguments: Sequence[UserInput], known: Mapping[int, Known]
) -> dict[int, InputShape]:
    """Return the shape of each tensor argument, by position."""
    nothing = Known({}, None, None)
    shapes: dict[int, InputShape] = {}
    for position, argument in enumerate(arguments):
        if argument.value is not None:
            more = known.get(position, nothing)
            example = None if more.example is None else tuple(more.example.shape)
            shapes[position] = InputShape(argument.name, argument.value.shape, more.axes, example)
    return shapes


def _in_tree(program: ExportedProgram, arguments: Sequence[UserInput]) -> str:
    """Return the calling convention of a program."""
    spec = cast("pytree.TreeSpec", program.call_spec.in_spec)
    call = program.module_call_graph[0].signature
    args, kwargs = pytree.tree_unflatten(range(len(arguments)), spec)
    names = list((call.forward_arg_names if call else None) or [])
    if len(names) < len(args):  # programs of early versions of torch.export
        names = [f"args_{index}" for index in range(len(args))]
    leaves = [
        {"input": argument.name}
        if argument.value is not None
        else constant_entry(argument.constant)
        for argument in arguments
    ]
    return in_tree_text(spec, [*names[: len(args)], *kwargs], leaves)


def _outputs(
    program: ExportedProgram, symbols: Symbols, states: Sequence[str]
) -> tuple[list[TensorSpec], str]:
    """Return the outputs of a program and how they are nested; the last ones are states."""
    values = program.graph.output_node().args[0]
    results = [
        (spec.arg, value)
        for spec, value in zip(program.graph_signature.output_specs, values, strict=True)  # type: ignore[arg-type]
        if spec.kind is OutputKind.USER_OUTPUT
    ]
    spec = cast("pytree.TreeSpec", program.call_spec.out_spec)
    count = len(results) - len(states)
    names = _output_names(spec, count)
    outputs: list[TensorSpec] = []
    leaves: list[dict[str, Any]] = []
    for name, (argument, node) in zip(names, results[:count], strict=True):
        if isinstance(argument, ConstantArgument):
            leaves.append(constant_entry(argument.value))
        elif isinstance(argument, TensorArgument):
            leaves.append({"output": name})
            outputs.append(_tensor_spec("output", name, node.meta["val"], symbols, None))  # type: ignore[union-attr]
        else:
            raise CaptureError(
                f"the output {name!r} is a size and not a tensor",
                hint="leave it out (it follows from the shapes), or return torch.tensor(size)",
            )
    for name, (_, node) in zip(states, results[count:], strict=True):
        outputs.append(_tensor_spec("output", name, node.meta["val"], symbols, None))  # type: ignore[union-attr]
    if not outputs:
        raise CaptureError("the model returns no tensor", hint="return what it computes")
    return outputs, out_tree_text(spec, leaves)


def _output_names(spec: pytree.TreeSpec, count: int) -> list[str]:
    """Return a unique name for every leaf of the result."""
    tree = pytree.tree_unflatten(range(count), spec)
    by_position = isinstance(tree, list | tuple) and not hasattr(tree, "_fields")
    names: list[str] = []
    for path, _ in flatten_with_paths(tree):
        parts = ["output", *path] if by_position or not path else path
        name = re.sub(r"\W", "_", "_".join(map(str, parts)))
        while name in names:
            name += "_"
        names.append(name)
    return names


def _tensor_spec(
    kind: str, name: str, value: torch.Tensor, symbols: Symbols, image: ImageSpec | None
) -> TensorSpec:
    """Return the manifest's entry for a tensor."""
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype not in NUMPY_DTYPES:
        raise CaptureError(
            f"the {kind} {name!r} is {dtype}, which numpy lacks",
            hint=CAST_INSIDE if dtype == "bfloat16" else "cast it inside forward",
        )
    if dtype == "complex128":
        raise CaptureError(
            f"the {kind} {name!r} is complex128, which no file of tensors holds",
            hint="cast inside forward, so that it is complex64",
        )
    return TensorSpec(name, dtype, symbols.shape(value.shape), image)


def _looks_like(spec: TensorSpec, image: ImageSpec) -> bool:
    """Whether a tensor can be an image with the channels of ``image``."""
    channels = 1 if image.color == "L" else len(image.mean)
    return len(spec.shape) >= 3 and spec.dtype.startswith("float") and channels in spec.shape[:2]
