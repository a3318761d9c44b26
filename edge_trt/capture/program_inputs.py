# SPDX-License-Identifier: Apache-2.0
"""Inputs of a program that was exported elsewhere: its own examples, and what a user adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch.utils import _pytree as pytree

from edge_trt.capture.agreement import checked_results
from edge_trt.capture.axes import Axis
from edge_trt.capture.call import example_values
from edge_trt.capture.conditions import cause, same, special
from edge_trt.capture.guards import refuse_broken_guards
from edge_trt.capture.images import ImageInput
from edge_trt.capture.inputs import Input
from edge_trt.capture.samples import Sizes
from edge_trt.capture.signature import Known, input_shapes, user_inputs
from edge_trt.capture.symbols import find_symbols
from edge_trt.errors import CaptureError, OptionError
from edge_trt_runtime.names import did_you_mean

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edge_trt.capture.signature import UserInput
    from edge_trt.capture.symbols import Symbols


def known_of_program(program: ExportedProgram, inputs: Any) -> dict[int, Known]:
    """Return what is known of each tensor argument of a program.

    Args:
        program: The program.
        inputs: ``None``; or tensors and ``Input`` objects, nested as the program takes them or by
            the names of its inputs. Their ranges lie within the program's and narrow them.

    Returns:
        Ranges, image preprocessing and an example at the ``opt`` sizes, by position among the
        flattened arguments.

    Raises:
        CaptureError: When the inputs are not those of the program, or break its conditions.
        OptionError: When sizes, types or names contradict the program.
    """
    arguments = user_inputs(program)
    tensors = {p: a for p, a in enumerate(arguments) if a.value is not None}
    hints = _own_examples(program)
    known = {p: Known({}, hints.get(p), None) for p in tensors}
    for position, entry in _by_position(arguments, inputs).items():
        if position in tensors:
            known[position] = _known(tensors[position], entry)
    symbols = find_symbols(program, list(input_shapes(arguments, known).values()))
    refuse_broken_guards(program, arguments, symbols)
    _refuse_special_sizes(program, tensors, symbols)
    return {p: _with_example(p, a, known[p], symbols) for p, a in tensors.items()}


def _refuse_special_sizes(
    program: ExportedProgram, arguments: Mapping[int, UserInput], symbols: Symbols
) -> None:
    """Raise when a size of 0 or 1, which is never traced, gives other shapes than were traced."""
    least = {name: dim.min for name, dim in symbols.dims.items()}
    small = {name: size for name, size in least.items() if size < 2}
    usual = {name: dim.opt for name, dim in symbols.dims.items()}

    def agrees(sizes: Sizes) -> bool:
        chosen = {**usual, **sizes}
        tensors = {p: _example(p, a, symbols, chosen) for p, a in arguments.items()}
        return checked_results(program, tensors, sizes=False) is not None

    if small and not same(agrees, least):
        found = cause(small, agrees) or least
        raise special(", ".join(f"{name}={size}" for name, size in found.items()))


def _example(
    position: int, argument: UserInput, symbols: Symbols, sizes: Mapping[str, int]
) -> torch.Tensor:
    value = cast("torch.Tensor", argument.value)
    shape = [symbols.at(size, sizes) for size in value.shape]
    return example_values(shape, str(value.dtype).removeprefix("torch."), position)


def _own_examples(program: ExportedProgram) -> dict[int, torch.Tensor]:
    """Return the tensors that the program was exported with, if it kept them."""
    if program.example_inputs is None:
        return {}
    leaves = pytree.tree_leaves(program.example_inputs)
    return {
        position: leaf.detach().cpu()
        for position, leaf in enumerate(leaves)
        if isinstance(leaf, torch.Tensor)
    }


def _by_position(arguments: Sequence[UserInput], inputs: Any) -> dict[int, Any]:
    """Return the given inputs by position among the flattened arguments."""
    if inputs is None:
        return {}
    names = [argument.name for argument in arguments]
    leaves = pytree.tree_leaves(inputs)
    if leaves and all(isinstance(leaf, Input) and leaf.name for leaf in leaves):
        inputs = {leaf.name: leaf for leaf in leaves}
    if isinstance(inputs, Mapping) and not pytree.tree_any(_is_container, inputs):
        by_name = cast("Mapping[str, Any]", inputs)
        for name in by_name:
            if name not in names:
                raise CaptureError(
                    f"the program has no input {name!r}", hint=did_you_mean(name, names)
                )
        return {names.index(name): value for name, value in by_name.items()}
    if len(leaves) != len(arguments):
        raise CaptureError(
            f"the program takes {len(arguments)} inputs ({', '.join(names)}), {len(leaves)} given"
        )
    return dict(enumerate(leaves))


def _is_container(leaf: object) -> bool:
    """Leaves are no containers: a mapping with one inside is nested."""
    return isinstance(leaf, Mapping | list | tuple)


def _known(argument: UserInput, entry: Any) -> Known:
    """Check one given input against the program."""
    value = cast("torch.Tensor", argument.value)
    if isinstance(entry, np.ndarray):
        entry = torch.from_numpy(np.ascontiguousarray(entry))
    if isinstance(entry, ImageInput):
        raise CaptureError(
            "an exported program can't be given the preparation of an image",
            hint="give the nn.Module, or export a module that prepares its image itself",
        )
    if not isinstance(entry, Input | torch.Tensor):
        raise CaptureError(f"{argument.name!r} is a tensor, and {entry!r} was given")
    dtype = str(value.dtype).removeprefix("torch.")
    given = str(entry.dtype).removeprefix("torch.")
    if given != dtype or len(entry.shape) != value.dim():
        raise OptionError(
            f"{argument.name!r} is {dtype} of {value.dim()} dimensions in the program, "
            f"and {given} of {len(entry.shape)} was given",
            hint="describe the input as the program was exported",
        )
    axes: dict[int, Axis] = {}
    for index, (size, has) in enumerate(zip(entry.shape, value.shape, strict=True)):
        if isinstance(has, int):
            if size != has:
                raise OptionError(
                    f"dimension {index} of {argument.name!r} is {has} in the program, "
                    f"and {size} was given",
                    hint="export the program with a dynamic dimension there",
                )
        elif isinstance(size, Axis):
            axes[index] = size
        elif isinstance(entry, Input):
            axes[index] = Axis(size, size, size)
    if isinstance(entry, torch.Tensor):
        return Known({}, entry.detach().cpu(), None)
    example = None if entry.example is None else entry.example.detach().cpu()
    return Known(axes, example, entry.image)


def _with_example(position: int, argument: UserInput, known: Known, symbols: Symbols) -> Known:
    """Return the same with an example at the ``opt`` sizes."""
    value = cast("torch.Tensor", argument.value)
    sizes = [symbols.optimum(size) for size in value.shape]
    if known.example is not None and list(known.example.shape) == sizes:
        return known
    usual = {name: dim.opt for name, dim in symbols.dims.items()}
    return Known(known.axes, _example(position, argument, symbols, usual), known.image)
