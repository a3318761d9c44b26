# SPDX-License-Identifier: Apache-2.0
"""Functions of sizes that may change, where torch.export would fix the size.

The number of steps of `torch.linspace` and `affine_grid` is no symbolic size to PyTorch; written
with `arange`, whose end is one, they take any. `tensor_split` asks which pieces are longer by one,
and `take_along_dim` what it counts modulo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from edge_trt.lowering.decompositions_indexing import linspace, take_along_dim


class OpenSizes(TorchFunctionMode):
    """While it is active, these functions are written so that symbolic sizes stay symbolic."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call ours for symbolic sizes, and PyTorch's function else."""
        given = dict(kwargs or {})
        ours = _OURS.get(func)
        result = NotImplemented if ours is None else ours(*args, **given)
        return func(*args, **given) if result is NotImplemented else result


def _is_open(size: Any) -> bool:
    return isinstance(size, torch.SymInt)


def _linspace(
    start: Any, end: Any, steps: Any, *, out: Any = None, dtype: Any = None, **placement: Any
) -> Any:
    if not _is_open(steps) or out is not None:
        return NotImplemented
    return linspace(start, end, steps, dtype=dtype)


def _affine_grid(theta: Any, size: Sequence[Any], align_corners: bool | None = None) -> Any:
    """For each place of the result, `theta` times its coordinates."""
    sizes = size[2:]
    if not any(map(_is_open, sizes)):
        return NotImplemented
    grid = theta[:, :, -1].reshape(-1, *(1 for _ in sizes), len(sizes))
    for column, n in enumerate(reversed(sizes)):
        factors = theta[:, :, column].reshape(-1, *(1 for _ in sizes), len(sizes))
        places = _centres(n, bool(align_corners), theta.dtype)
        grid = grid + factors * places.reshape(-1, *(1 for _ in range(column + 1)))
    return grid


def _centres(n: Any, align_corners: bool, dtype: torch.dtype) -> Any:
    """Coordinates from -1 to 1: of the outer pixels' centres, or of their edges."""
    twice = 2 * torch.arange(n, dtype=dtype) + (1 - n)
    return twice / (torch.sym_max(n - 1, 1) if align_corners else n)


def _tensor_split(input: Any, sections: Any = None, dim: int = 0, **indices: Any) -> Any:
    """Cut into pieces of which the first may be longer by one than the last."""
    size = input.shape[dim]
    if indices or not isinstance(sections, int) or not _is_open(size):
        return NotImplemented
    starts = [i * (size // sections) + torch.sym_min(i, size % sections) for i in range(sections)]
    lengths = [(size + sections - 1 - i) // sections for i in range(sections)]
    pieces = zip(starts, lengths, strict=True)
    return tuple(input.narrow(dim, start, length) for start, length in pieces)


def _take_along_dim(input: Any, indices: Any, dim: int | None = None, *, out: Any = None) -> Any:
    if out is not None or not any(map(_is_open, (*input.shape, *indices.shape))):
        return NotImplemented
    return take_along_dim(input, indices, dim)


_OURS: dict[Any, Callable[..., Any]] = {
    torch.linspace: _linspace,
    F.affine_grid: _affine_grid,
    torch.affine_grid_generator: _affine_grid,
    torch.tensor_split: _tensor_split,
    torch.Tensor.tensor_split: _tensor_split,
    torch.take_along_dim: _take_along_dim,
    torch.Tensor.take_along_dim: _take_along_dim,
}
