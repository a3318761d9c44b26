# SPDX-License-Identifier: Apache-2.0
"""Running torch.export, and again where it refuses ranges of sizes that the model does take.

Two of its refusals are not the last word. A model that halves its image five times takes multiples
of 32: the dimension is then declared as such a multiple. And ``x[1:]`` of two rows is one row,
which export keeps apart from any other number because one row would broadcast: it then traces
without that distinction, and the result is compared with the model at the refused sizes.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.export import Dim, ShapesCollection
from torch.fx.experimental import _config as tracing_options
from torch.utils import _pytree as pytree

from edge_trt.capture.agreement import agrees
from edge_trt.capture.axes import Axis
from edge_trt.capture.batch_norms import whole_batch_norms
from edge_trt.capture.call import Call, TensorArgument, example_values
from edge_trt.capture.conditions import check_sizes
from edge_trt.capture.constraints import (
    Place,
    explain_constraints,
    fixed_low,
    needed_multiples,
    refused_sizes,
)
from edge_trt.capture.failures import explain
from edge_trt.capture.module_state import CaptureWarning
from edge_trt.capture.pools import any_size_rounds_up, whole_max_pools
from edge_trt.capture.quiet import quiet
from edge_trt.capture.recurrences import whole_recurrences
from edge_trt.warning import warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn
    from torch.export import ExportedProgram

_ATTEMPTS = 5
_FURTHER = 3  # how much larger a size is traced again: what is special about 2 is not about 5
_CAN_BE_OBLIVIOUS = hasattr(tracing_options, "backed_size_oblivious")

Places = dict[str, list[Place]]
"""Where each name that export knows a size by appears."""


@dataclass(frozen=True)
class _Attempt:
    """What is told to torch.export besides the call."""

    steps: Mapping[str, int] = field(default_factory=dict[str, int])
    larger: frozenset[str] = frozenset()
    oblivious: bool = False
    to_check: Mapping[str, list[int]] = field(default_factory=dict[str, "list[int]"])


def trace(model: nn.Module, call: Call) -> tuple[ExportedProgram, Call]:
    """Export a model.

    Args:
        model: The model, in evaluation mode.
        call: Its arguments, with the ranges that are asked for.

    Returns:
        The program, and the call with the ranges that the program has: those asked for, where a
        size has to be a multiple of a number narrowed to such.

    Raises:
        CaptureError: When torch.export refuses the model, or the model the ranges.
    """
    attempt, asked = _Attempt(), _places(call)
    refusal: Exception | None = None
    stale = _has_compiled()
    for _ in range(_ATTEMPTS + stale):
        narrowed = _in_steps(call, attempt.steps, asked)
        places = _places(narrowed)
        try:
            program = _export(model, narrowed, places, attempt)
            if attempt.to_check and not _agrees(model, program, narrowed, places, attempt):
                break
        except Exception as error:
            if stale:
                stale = False
                torch.compiler.reset()
                continue
            refusal = refusal or error
            following = _following(attempt, str(error), places)
            if following is None:
                break
            attempt = following
            continue
        check_sizes(program, places, partial(_answers_alike, model, program, narrowed, places))
        _tell(call, narrowed)
        return program, narrowed
    assert refusal is not None
    raise (explain_constraints(refusal, asked) or explain(refusal, call.tensors)) from refusal


def _has_compiled() -> bool:
    """Whether torch.compile keeps code of earlier calls.

    Branches of `torch.cond` are compiled while they are exported, and code that is kept from a call
    with other sizes is looked at first: that it does not fit is then held to be the model's wish.
    """
    compiler: Any = sys.modules.get("torch._dynamo.convert_frame")  # slow to import in vain
    kept: Any = getattr(compiler, "output_codes", None)  # as in torch 2.13
    return compiler is not None and bool(getattr(kept, "seen", True))


def _following(attempt: _Attempt, refusal: str, places: Places) -> _Attempt | None:
    """Return what else to try, or None when the refusal stands."""
    steps = needed_multiples(refusal, places)
    if steps and steps.keys().isdisjoint(attempt.steps):
        return _with_steps(attempt, steps, places)
    fixed = fixed_low(refusal, places) - attempt.larger
    if fixed:
        return replace(attempt, larger=attempt.larger | fixed)
    sizes = refused_sizes(refusal, places)
    if sizes and not attempt.oblivious and _CAN_BE_OBLIVIOUS:
        return replace(attempt, oblivious=True, to_check={**attempt.to_check, **sizes})
    return None


def _with_steps(attempt: _Attempt, steps: Mapping[str, int], places: Places) -> _Attempt:
    """Declare multiples; once the number itself is special to export, as a size of 1 is."""
    small = {
        name: [step * n for n in (0, 1) if step * n >= places[name][0].axis.min]
        for name, step in steps.items()
    }
    to_check = {name: sizes for name, sizes in small.items() if sizes}
    return replace(
        attempt,
        steps={**attempt.steps, **steps},
        oblivious=bool(to_check) and _CAN_BE_OBLIVIOUS,
        to_check={**attempt.to_check, **to_check},
    )


def _export(model: nn.Module, call: Call, places: Places, attempt: _Attempt) -> ExportedProgram:
    """Run torch.export."""
    larger = {name: _size(places[name]) + _FURTHER for name in attempt.larger}
    tensors = _tensors_at(call, places, larger)
    args, kwargs = _arguments(call, tensors)
    dims: dict[int, dict[int, Any]] = {}
    for name, found in places.items():
        high = max(place.axis.max for place in found)
        dim = _dim(name, found[0], attempt.steps.get(name, 1), max(high, larger.get(name, 2)))
        for place in found:
            dims.setdefault(place.tensor.position, {})[place.index] = dim
    collection = ShapesCollection()
    for position, entry in dims.items():
        collection[tensors[position]] = entry
    shapes = collection.dynamic_shapes(model, args, kwargs) if places else None
    changes = {"backed_size_oblivious": True} if attempt.oblivious else {}
    changed = tracing_options.patch(changes)  # type: ignore[attr-defined]
    with quiet(), changed, ExitStack() as stack:
        for whole in (whole_recurrences, whole_batch_norms, whole_max_pools, any_size_rounds_up):
            stack.enter_context(whole())
        return torch.export.export(model, args, kwargs, dynamic_shapes=shapes, strict=False)


def _dim(name: str, place: Place, step: int, high: int) -> Any:
    """Declare a size; 0 and 1 are constants to export, which keeps it symbolic if 2 is allowed."""
    if step == 1:
        return Dim(name, min=place.axis.min, max=high)
    return step * Dim(f"_{name}", min=place.axis.min // step, max=max(high // step, 2))


def _places(call: Call) -> Places:
    places: Places = {}
    for tensor in call.tensors:
        for index, axis in tensor.axes.items():
            name = axis.name or f"dim{index}_of_argument{tensor.position}"
            places.setdefault(name, []).append(Place(tensor, index))
    return places


def _size(found: list[Place]) -> int:
    """Return the size that a name is traced with."""
    return found[0].tensor.traced.shape[found[0].index]


def _tensors_at(call: Call, places: Places, sizes: Mapping[str, int]) -> dict[int, torch.Tensor]:
    """Return the tensors of a call by position, some of their sizes changed."""
    shapes = {tensor.position: list(tensor.traced.shape) for tensor in call.tensors}
    for name, size in sizes.items():
        for place in places[name]:
            shapes[place.tensor.position][place.index] = size
    return {t.position: _tensor_of(t, shapes[t.position]) for t in call.tensors}


def _tensor_of(argument: TensorArgument, shape: list[int]) -> torch.Tensor:
    if list(argument.traced.shape) == shape:
        return argument.traced
    dtype = str(argument.traced.dtype).removeprefix("torch.")
    return example_values(shape, dtype, argument.position)


def _arguments(
    call: Call, tensors: Mapping[int, torch.Tensor]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call with other tensors."""
    leaves, spec = pytree.tree_flatten((call.args, call.kwargs))
    return pytree.tree_unflatten([tensors.get(i, leaf) for i, leaf in enumerate(leaves)], spec)


def _in_steps(call: Call, steps: Mapping[str, int], places: Places) -> Call:
    """Narrow ranges to multiples."""
    axes: dict[int, dict[int, Axis]] = {}
    for name, step in steps.items():
        for place in places[name]:
            inside = place.axis.in_steps(step)
            assert inside is not None  # what was traced is one
            axes.setdefault(place.tensor.position, {})[place.index] = inside
    tensors = tuple(
        t.with_axes(axes[t.position]) if t.position in axes else t for t in call.tensors
    )
    args, kwargs = _arguments(call, {t.position: t.traced for t in tensors})
    return Call(args, kwargs, tensors)


def _agrees(
    model: nn.Module, program: ExportedProgram, call: Call, places: Places, attempt: _Attempt
) -> bool:
    """Whether the program is right at the sizes that were refused."""
    calls = [
        _tensors_at(call, places, {name: size})
        for name, sizes in attempt.to_check.items()
        for size in sizes
    ]
    return all(agrees(model, program, tensors, *_arguments(call, tensors)) for tensors in calls)


def _answers_alike(
    model: nn.Module, program: ExportedProgram, call: Call, places: Places, sizes: Mapping[str, int]
) -> bool:
    """Whether the program answers as the model does at these sizes."""
    tensors = _tensors_at(call, places, sizes)
    return agrees(model, program, tensors, *_arguments(call, tensors), sizes=False)


def _tell(asked: Call, taken: Call) -> None:
    """Warn where sizes that were asked for are not taken."""
    for before, after in zip(asked.tensors, taken.tensors, strict=True):
        for index, axis in before.axes.items():
            got = after.axes[index]
            if (got.min, got.opt, got.max) != (axis.min, axis.opt, axis.max):
                place = Place(before, index)
                warn(f"{place} is a multiple in this model: {axis} becomes {got}", CaptureWarning)
