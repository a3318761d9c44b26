# SPDX-License-Identifier: Apache-2.0
"""The sizes of a call that may change, by name, and the same call at other sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _pytree as pytree

from edge_trt.capture.axes import Axis
from edge_trt.capture.call import Call, TensorArgument, example_values
from edge_trt.capture.constraints import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

Places = dict[str, list[Place]]
"""Where each name that export knows a size by appears."""


def places_of(call: Call) -> Places:
    """Return where each size that may change appears."""
    places: Places = {}
    for tensor in call.tensors:
        for index, axis in tensor.axes.items():
            name = axis.name or f"dim{index}_of_argument{tensor.position}"
            places.setdefault(name, []).append(Place(tensor, index))
    return places


def traced_size(found: list[Place]) -> int:
    """Return the size that a name is traced with."""
    return found[0].tensor.traced.shape[found[0].index]


def tensors_at(call: Call, places: Places, sizes: Mapping[str, int]) -> dict[int, torch.Tensor]:
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


def arguments_of(
    call: Call, tensors: Mapping[int, torch.Tensor]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call with other tensors."""
    leaves, spec = pytree.tree_flatten((call.args, call.kwargs))
    return pytree.tree_unflatten([tensors.get(i, leaf) for i, leaf in enumerate(leaves)], spec)


def in_steps(call: Call, steps: Mapping[str, int], places: Places) -> Call:
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
    args, kwargs = arguments_of(call, {t.position: t.traced for t in tensors})
    return Call(args, kwargs, tensors)
