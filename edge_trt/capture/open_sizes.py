# SPDX-License-Identifier: Apache-2.0
"""Functions of sizes that may change, where torch.export would fix the size.

The number of steps of `torch.linspace` and `affine_grid` is no symbolic size to PyTorch; written
with `arange`, whose end is one, they take any. `tensor_split` asks which pieces are longer by one,
and `take_along_dim` by what it counts modulo. `gradient`, `vander` and adaptive maxima take no
symbolic size at all.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch._export.non_strict_utils import _NonStrictTorchFunctionHandler
from torch.nn import functional as F

from edge_trt.capture.plain_functions import PLAIN
from edge_trt.lowering.decompositions_indexing import linspace, take_along_dim
from edge_trt.lowering.shapes import same_size


@contextmanager
def open_sizes() -> Generator[None]:
    """While an export runs, these functions are written so that symbolic sizes stay symbolic.

    torch.export has a mode that sees all functions, and ours are called from there: a mode of our
    own would see every attribute of every tensor too, a tenth of the time that an export takes.
    """
    original = _NonStrictTorchFunctionHandler.__torch_function__

    def ours_first(
        self: Any,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        ours = _OURS.get(func)
        result = NotImplemented if ours is None else ours(*args, **(kwargs or {}))
        if result is NotImplemented:
            return original(self, func, types, args, kwargs)
        return result

    with patch.object(_NonStrictTorchFunctionHandler, "__torch_function__", ours_first):
        yield


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


def _adaptive_max_pool(
    input: Any, output_size: Any, return_indices: bool = False, *, axes: int
) -> Any:
    """The maximum over an axis or over equal pieces of it, where an open axis stays as it is."""
    if return_indices or not isinstance(output_size, (tuple, list)):
        return NotImplemented
    first = input.dim() - axes
    result = input
    for axis, count in reversed(list(enumerate(output_size, start=first))):
        size = input.shape[axis]
        if count is None or (_is_open(count) and same_size(count, size)):
            continue
        if count == 1:
            result = result.amax(axis, keepdim=True)
        elif _is_open(size) or _is_open(count) or count == 0 or size % count:
            return NotImplemented
        else:
            result = result.unflatten(axis, (count, size // count)).amax(axis + 1)
    return result if any(map(_is_open, input.shape[first:])) else NotImplemented


def _gradient(input: Any, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> Any:
    """Differences of the neighbours of each element, at the ends of the end and its neighbour."""
    dims = range(input.dim()) if dim is None else [dim] if isinstance(dim, int) else dim
    steps = list(spacing) if isinstance(spacing, (tuple, list)) else [spacing] * len(dims)
    numbers = all(isinstance(step, (int, float)) for step in steps) and len(steps) == len(dims)
    if edge_order != 1 or not numbers or not input.is_floating_point():
        return NotImplemented
    if not any(_is_open(input.shape[d]) for d in dims):
        return NotImplemented
    return tuple(_differences(input, d, step) for d, step in zip(dims, steps, strict=True))


def _differences(x: Any, dim: int, step: float) -> Any:
    n = x.shape[dim]
    inner = (x.narrow(dim, 2, n - 2) - x.narrow(dim, 0, n - 2)) / (2 * step)
    ends = [(x.narrow(dim, i + 1, 1) - x.narrow(dim, i, 1)) / step for i in (0, n - 2)]
    return torch.cat([ends[0], inner, ends[1]], dim)


def _vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:  # noqa: N803 (torch's)
    """Powers of each element, as running products."""
    if not _is_open(x.shape[0]) or not x.is_floating_point() or N == 0:
        return NotImplemented
    factors = x.unsqueeze(1).expand(-1, (x.shape[0] if N is None else N) - 1)
    powers = torch.cat([torch.ones_like(x).unsqueeze(1), factors], 1).cumprod(1)
    return powers if increasing else powers.flip(1)


_OURS: dict[Any, Callable[..., Any]] = {
    **PLAIN,
    torch.linspace: _linspace,
    F.affine_grid: _affine_grid,
    torch.affine_grid_generator: _affine_grid,
    torch.tensor_split: _tensor_split,
    torch.Tensor.tensor_split: _tensor_split,
    F.adaptive_max_pool2d: partial(_adaptive_max_pool, axes=2),
    F.adaptive_max_pool3d: partial(_adaptive_max_pool, axes=3),
    torch.gradient: _gradient,
    torch.vander: _vander,
    torch.take_along_dim: _take_along_dim,
    torch.Tensor.take_along_dim: _take_along_dim,
}
