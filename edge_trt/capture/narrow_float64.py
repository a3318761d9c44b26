# SPDX-License-Identifier: Apache-2.0
"""A program that computes in float32 what it was written to compute in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.fx.node import map_aggregate
from torch.utils import _pytree as pytree

from edge_trt.capture.copied_programs import with_own_graph

if TYPE_CHECKING:
    from torch import fx
    from torch._subclasses.fake_tensor import FakeTensor
    from torch.export import ExportedProgram

    from edge_trt.capture.signature import Known

NARROW = {torch.float64: torch.float32, torch.complex128: torch.complex64}


def narrow_float64(program: ExportedProgram) -> ExportedProgram:
    """Replace float64 by float32 throughout: inputs, outputs, weights and what lies between.

    ::

        before  x: f64[4] = placeholder ; _to_copy(n, dtype=float64) ; mul(x, weight: f64)
        after   x: f32[4] = placeholder ; _to_copy(n, dtype=float32) ; mul(x, weight: f32)

    Every other type stays, int64 in particular. Shapes do not depend on the width of a float, so
    nothing is traced again; the given program keeps its own graph and weights.
    """
    return with_own_graph(
        program, _narrow_node, _narrowed, lambda given: pytree.tree_map(_narrow, given)
    )


def _narrow_node(old: fx.Node, new: fx.Node) -> None:
    new.meta = {**old.meta}
    if "val" in old.meta:
        new.meta["val"] = pytree.tree_map(_narrow, old.meta["val"])
    new.args = map_aggregate(new.args, _narrow_type)
    new.kwargs = map_aggregate(new.kwargs, _narrow_type)


def narrow_examples(known: dict[int, Known]) -> dict[int, Known]:
    """What is known of inputs, with examples for the narrowed program."""
    return {p: replace(k, example=_narrow(k.example)) for p, k in known.items()}


def narrow(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with float32 elements in the place of float64 ones."""
    wanted = NARROW.get(tensor.dtype)
    return tensor if wanted is None else tensor.detach().to(wanted)


def _narrow(value: FakeTensor | Any) -> Any:
    return narrow(value) if isinstance(value, torch.Tensor) else value


def _narrow_type(argument: Any) -> Any:
    return NARROW.get(argument, argument) if isinstance(argument, torch.dtype) else argument


def _narrowed(tensors: dict[str, Any]) -> dict[str, Any]:
    narrowed = {name: _narrow(value) for name, value in tensors.items()}
    for name, value in tensors.items():
        if isinstance(value, nn.Parameter) and narrowed[name] is not value:
            narrowed[name] = nn.Parameter(narrowed[name], requires_grad=False)
    return narrowed
