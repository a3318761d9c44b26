# SPDX-License-Identifier: Apache-2.0
"""Sorts that leave equal elements in the order of their places, which PyTorch leaves open.

ONNX does not, so that answers can be compared. Rounded numbers, masks and sums have equal elements,
and 5000 random float32 do more often than not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from edge_trt.lowering.edit import aten

if TYPE_CHECKING:
    from collections.abc import Callable


class StableSorts(TorchDispatchMode):
    """While this is entered, `sort`, `argsort` and `topk` order equal elements by place."""

    # Branches of torch.cond and bodies of loops run as they would without this.
    supports_higher_order_operators = True

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return (_STABLE.get(func) or func)(*args, **(kwargs or {}))


def _sort(x: torch.Tensor, dim: int = -1, descending: bool = False) -> Any:
    return torch.sort(x, stable=True, dim=dim, descending=descending)


def _argsort(x: torch.Tensor, dim: int = -1, descending: bool = False) -> torch.Tensor:
    return _sort(x, dim, descending)[1]


def _topk(x: torch.Tensor, k: int, dim: int = -1, largest: bool = True, _: bool = True) -> Any:
    """Sorted, whether that is asked for or not; contiguous, as a `view` of it may follow."""
    ordered = _sort(x, dim, largest)
    if x.dim() == 0:
        return ordered
    return tuple(part.narrow(dim, 0, k).contiguous() for part in ordered)


_STABLE: dict[Any, Callable[..., Any]] = {
    aten.sort.default: _sort,
    aten.argsort.default: _argsort,
    aten.topk.default: _topk,
}
