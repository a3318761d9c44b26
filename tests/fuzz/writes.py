# SPDX-License-Identifier: Apache-2.0
"""Operators that write to what they are given, and views through which they write to a part."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch

from edge_trt.lowering.edit import is_random, writes

aten = torch.ops.aten

VIEWS = (
    aten.slice.Tensor, aten.select.int, aten.diagonal.default, aten.transpose.int,
    aten.unsqueeze.default, aten.view.default, aten.narrow.default,
)  # fmt: skip
"""Calls whose results share memory with what they are about."""

_RESHAPING = ("squeeze_", "unsqueeze_", "t_", "swapaxes_", "swapdims_", "detach_")


@functools.cache
def in_place(operators: Sequence[Any]) -> tuple[Any, ...]:
    """`add_` of `add`, for every operator that has such a form, with those for filling."""
    found = [
        getattr(packet, target._overloadname)
        for target in operators
        if (packet := getattr(aten, f"{target._opname}_", None)) is not None
        and target._overloadname in packet.overloads()
        and f"{target._opname}_" not in _RESHAPING
    ]
    return tuple(target for target in found if writes(target) and not is_random(target))


class Rollback:
    """What a tensor's memory holds, to be put back if a call is left out after all."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._storage = tensor.untyped_storage()
        self._before = self._storage.clone()

    def undo(self) -> None:
        """Writes the old contents."""
        self._storage.copy_(self._before)
