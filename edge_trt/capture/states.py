# SPDX-License-Identifier: Apache-2.0
"""Buffers that ``forward`` writes to, as inputs and outputs of the program.

before  buffer cache, input x           ; cache is written, returns y
after   inputs x, cache                 ; returns y, cache_next
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import (
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)

from edge_trt.capture.mutations import written_buffers
from edge_trt.capture.rename import rename_inputs
from edge_trt.lowering.retracing import retrace

if TYPE_CHECKING:
    from collections.abc import Sequence

_SUFFIX = "_next"


@dataclass(frozen=True)
class StateInput:
    """A buffer that became an input, with the output that gives its next value.

    Attributes:
        input: Name of the input.
        output: Name of the output.
        initial: Its value in the model.
    """

    input: str
    output: str
    initial: torch.Tensor


def explicit_states(program: ExportedProgram) -> tuple[ExportedProgram, list[StateInput]]:
    """Turn the buffers that a program writes to into inputs and outputs, behind its own.

    Args:
        program: A program that nobody else holds; it may be changed.

    Returns:
        A functional program, and its states; the program itself when it has none.
    """
    if not written_buffers(program):
        return program, []
    program = retrace(program)
    buffers = list(program.graph_signature.buffers_to_mutate.values())
    inputs = _move_inputs(program, buffers)
    names = _names(program, inputs, buffers)
    rename_inputs(program, names)
    _move_outputs(program)
    return program, [
        StateInput(names[inputs[fqn]], names[inputs[fqn]] + _SUFFIX, _value(program, fqn))
        for fqn in buffers
    ]


def _value(program: ExportedProgram, fqn: str) -> torch.Tensor:
    stored = program.state_dict.get(fqn)
    return (program.constants[fqn] if stored is None else stored).detach().clone()  # type: ignore[union-attr]


def _move_inputs(program: ExportedProgram, buffers: Sequence[str]) -> dict[str, str]:
    """Make buffers the last inputs of the user; returns the placeholder's name of each."""
    specs = program.graph_signature.input_specs
    states = {spec.target: spec for spec in specs if spec.target in buffers}
    specs[:] = [spec for spec in specs if spec.target not in states]
    specs += [
        InputSpec(InputKind.USER_INPUT, TensorArgument(states[fqn].arg.name), None)
        for fqn in buffers
    ]
    placeholders = {node.name: node for node in program.graph.find_nodes(op="placeholder")}
    for before, after in itertools.pairwise(spec.arg.name for spec in specs):
        placeholders[before].append(placeholders[after])
    return {fqn: states[fqn].arg.name for fqn in buffers}


def _names(
    program: ExportedProgram, inputs: dict[str, str], buffers: Sequence[str]
) -> dict[str, str]:
    """Return a name for each state's placeholder: the buffer's, where no input has it.

    It is the name of an argument of generated Python too, which `0_avg` of a Sequential can't be.
    """
    taken = {
        spec.arg.name
        for spec in program.graph_signature.input_specs
        if spec.kind is InputKind.USER_INPUT and spec.arg.name not in inputs.values()
    }
    names: dict[str, str] = {}
    for fqn in buffers:
        name = re.sub(r"\W", "_", fqn)
        name = f"state_{name}" if name[:1].isdigit() or iskeyword(name) else name
        while name in taken:
            name += "_state"
        taken.add(name)
        names[inputs[fqn]] = name
    return names


def _move_outputs(program: ExportedProgram) -> None:
    """Make the new values of buffers the last outputs of the user."""
    output = program.graph.output_node()
    values: Any = output.args[0]
    pairs = list(zip(program.graph_signature.output_specs, values, strict=True))
    states = [pair for pair in pairs if pair[0].kind is OutputKind.BUFFER_MUTATION]
    ordered = [pair for pair in pairs if pair[0].kind is not OutputKind.BUFFER_MUTATION]
    ordered += [(_user_output(spec), value) for spec, value in states]
    program.graph_signature.output_specs[:] = [spec for spec, _ in ordered]
    output.args = (tuple(value for _, value in ordered),)


def _user_output(spec: OutputSpec) -> OutputSpec:
    return replace(spec, kind=OutputKind.USER_OUTPUT, target=None)
