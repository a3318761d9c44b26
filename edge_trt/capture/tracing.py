# SPDX-License-Identifier: Apache-2.0
"""Running torch.export, and again where it refuses ranges of sizes that the model does take.

Two of its refusals are not the last word. A model that halves its image five times takes multiples
of 32: the dimension is then declared as such a multiple. And ``x[1:]`` of two rows is one row,
which export keeps apart from any other number because one row would broadcast: it then traces
without that distinction, and the result is compared with the model at the refused sizes.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.export import Dim, ExportedProgram, ShapesCollection

from edge_trt.capture.agreement import agrees
from edge_trt.capture.bags import even_bags
from edge_trt.capture.batch_norms import whole_batch_norms
from edge_trt.capture.causal_masks import masks_as_they_are
from edge_trt.capture.conditions import check_sizes, forget_broken
from edge_trt.capture.constraints import (
    explain_constraints,
    fixed_low,
    is_about_sizes,
    needed_multiples,
    refused_sizes,
)
from edge_trt.capture.failures import explain
from edge_trt.capture.fake_quantizers import whole_fake_quantizers
from edge_trt.capture.fixed_sizes import Fixed, fixed_sizes
from edge_trt.capture.flex_attention import flex_attention_as_scores
from edge_trt.capture.module_state import CaptureWarning
from edge_trt.capture.oblivious import CAN_BE_OBLIVIOUS, oblivious
from edge_trt.capture.open_sizes import open_sizes
from edge_trt.capture.places import (
    Places,
    arguments_of,
    in_steps,
    places_of,
    tensors_at,
    traced_size,
)
from edge_trt.capture.pools import any_size_rounds_up, whole_max_pools
from edge_trt.capture.quiet import quiet
from edge_trt.capture.recurrences import whole_recurrences
from edge_trt.capture.transposed_attributes import attributes_as_methods
from edge_trt.capture.unproved import FURTHER, equal_names, trace_unproved, unsolved
from edge_trt.capture.unread import nothing_unread
from edge_trt.capture.views import views_as_asked
from edge_trt.errors import CaptureError
from edge_trt.warning import warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from edge_trt.capture.call import Call

_WHOLE = (
    whole_recurrences, whole_batch_norms, whole_max_pools, any_size_rounds_up, even_bags,
    open_sizes, whole_fake_quantizers, masks_as_they_are, flex_attention_as_scores,
    attributes_as_methods, views_as_asked,
)  # fmt: skip
"""What export would take apart, fix the sizes of, or ask the values of."""
_ATTEMPTS = 5


@dataclass(frozen=True)
class _Attempt:
    """What is told to torch.export besides the call."""

    steps: Mapping[str, int] = field(default_factory=dict[str, int])
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    oblivious: bool = False
    to_check: Mapping[str, list[int]] = field(default_factory=dict[str, "list[int]"])
    proved: bool = True


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
    attempt, asked = _Attempt(), places_of(call)
    refusal: Exception | None = None
    fixed: list[Fixed] = []
    told: CaptureError | None = None
    stale = _has_compiled()
    for _ in range(_ATTEMPTS + stale):
        narrowed = in_steps(call, attempt.steps, asked)
        places = places_of(narrowed)
        try:
            with fixed_sizes(fixed) if refusal is None else nullcontext():
                program = _export(model, narrowed, places, attempt)
            if attempt.to_check and not _agrees(model, program, narrowed, places, attempt):
                break
        except Exception as error:
            if stale:
                stale = False
                torch.compiler.reset()
                continue
            if refusal is None and is_about_sizes(error) and not attempt.steps:
                found = trace_unproved(model, call, asked, partial(_unproved, model, call, asked))
                if isinstance(found, ExportedProgram):
                    return found, call
                told = found
            refusal = refusal or error
            following = _following(attempt, str(error), places)
            if following is None:
                break
            attempt = following
            continue
        alike = partial(_answers_alike, model, program, narrowed, places)
        forget_broken(program, places, check_sizes(program, places, alike))
        _tell(asked, places, attempt.steps)
        return program, narrowed
    assert refusal is not None
    raise (
        told or explain_constraints(refusal, asked, fixed) or explain(refusal, call.tensors, model)
    ) from refusal


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
    fixed = fixed_low(refusal, places) - attempt.sizes.keys()
    if fixed:
        larger = {name: traced_size(places[name]) + FURTHER for name in fixed}
        return replace(attempt, sizes={**attempt.sizes, **larger})
    sizes = refused_sizes(refusal, places)
    if sizes and not attempt.oblivious and CAN_BE_OBLIVIOUS:
        return replace(attempt, oblivious=True, to_check={**attempt.to_check, **sizes})
    return None


def _unproved(
    model: nn.Module, call: Call, places: Places, sizes: Mapping[str, int], *, oblivious: bool
) -> ExportedProgram:
    """Export without proof."""
    return _export(model, call, places, _Attempt(sizes=sizes, oblivious=oblivious, proved=False))


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
        oblivious=bool(to_check) and CAN_BE_OBLIVIOUS,
        to_check={**attempt.to_check, **to_check},
    )


def _export(model: nn.Module, call: Call, places: Places, attempt: _Attempt) -> ExportedProgram:
    """Run torch.export."""
    tensors = tensors_at(call, places, attempt.sizes)
    args, kwargs = arguments_of(call, tensors)
    dims: dict[int, dict[int, Any]] = {}
    for name, found in places.items():
        high = max(place.axis.max for place in found)
        high = max(high, attempt.sizes.get(name, 2))
        low, step = found[0].axis.min, attempt.steps.get(name, 1)
        dim = _dim(name, low, high, step) if attempt.proved else Dim.AUTO(min=low, max=high)
        for place in found:
            dims.setdefault(place.tensor.position, {})[place.index] = dim
    collection = ShapesCollection()
    for position, entry in dims.items():
        collection[tensors[position]] = entry
    shapes = collection.dynamic_shapes(model, args, kwargs) if places else None
    with quiet(), nothing_unread(), ExitStack() as stack:
        stack.enter_context(oblivious() if attempt.oblivious else nullcontext())
        for whole in _WHOLE:
            stack.enter_context(whole())
        if not attempt.proved:
            stack.enter_context(equal_names(model, places))
            stack.enter_context(unsolved())
        return torch.export.export(model, args, kwargs, dynamic_shapes=shapes, strict=False)


def _dim(name: str, low: int, high: int, step: int) -> Any:
    """Declare a size; 0 and 1 are constants to export, which keeps it symbolic if 2 is allowed."""
    if step == 1:
        return Dim(name, min=low, max=high)
    return step * Dim(f"_{name}", min=low // step, max=max(high // step, 2))


def _agrees(
    model: nn.Module, program: ExportedProgram, call: Call, places: Places, attempt: _Attempt
) -> bool:
    """Whether the program is right at the sizes that were refused."""
    calls = [
        tensors_at(call, places, {name: size})
        for name, sizes in attempt.to_check.items()
        for size in sizes
    ]
    return all(agrees(model, program, tensors, *arguments_of(call, tensors)) for tensors in calls)


def _answers_alike(
    model: nn.Module, program: ExportedProgram, call: Call, places: Places, sizes: Mapping[str, int]
) -> bool:
    """Whether the program answers as the model does at these sizes."""
    tensors = tensors_at(call, places, sizes)
    return agrees(model, program, tensors, *arguments_of(call, tensors), sizes=False)


def _tell(asked: Places, taken: Places, steps: Mapping[str, int]) -> None:
    """Warn where of the sizes that were asked for some are not taken."""
    for name, step in steps.items():
        for before, after in zip(asked[name], taken[name], strict=True):
            text = f"{before} is taken in multiples of {step} only"
            if after.axis != before.axis:
                text += f": {before.axis} becomes {after.axis}"
            warn(text, CaptureWarning)
