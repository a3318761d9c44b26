# SPDX-License-Identifier: Apache-2.0
"""Indexing, windows and scattering in smaller operators: lookups at places counted up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from edge_trt.conversion.size_ranges import most
from edge_trt.lowering.edit import aten
from edge_trt.lowering.shapes import same_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LIMIT = 2**24
"""Most elements of a comparison of everything with everything."""


def _count_up(size: Any, like: Any) -> Any:
    return torch.arange(size, device=like.device)


# -- diagonals and windows ---------------------------------------------------------------------


def _places_of_diagonal(self: Any, offset: int, dim1: int, dim2: int) -> tuple[Any, Any, list[int]]:
    """Rows and columns of a diagonal, and the order that brings its two dimensions to the end."""
    first, second = dim1 % self.dim(), dim2 % self.dim()
    order = [d for d in range(self.dim()) if d not in (first, second)] + [first, second]
    rows, columns = self.shape[first] + min(offset, 0), self.shape[second] - max(offset, 0)
    steps = _count_up(torch.sym_max(torch.sym_min(rows, columns), 0), self)
    return steps - min(offset, 0), steps + max(offset, 0), order


def _diagonal(self: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    rows, columns, order = _places_of_diagonal(self, offset, dim1, dim2)
    return self.permute(order)[..., rows, columns]


def _diagonal_scatter(self: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    rows, columns, order = _places_of_diagonal(self, offset, dim1, dim2)
    places = [None] * (self.dim() - 2) + [rows, columns]
    written = aten.index_put.default(self.permute(order), places, src)
    return written.permute([order.index(d) for d in range(self.dim())])


def _trace(self: Any) -> Any:
    return _diagonal(self).sum()


def _unfold(self: Any, dimension: int, size: int, step: int) -> Any:
    if self.dim() == 0:
        return NotImplemented
    dim = dimension % self.dim()
    count = (self.shape[dim] - size) // step + 1
    places = (_count_up(count, self) * step).unsqueeze(1) + _count_up(size, self)
    return self[(slice(None),) * dim + (places,)].movedim(dim + 1, -1)


def _spread(x: Any, step: int) -> Any:
    """Puts zeros behind each element of the last axis, ``step - 1`` of them."""
    if isinstance(x.shape[-1], int):
        return F.pad(x.unsqueeze(-1), (0, step - 1)).flatten(-2)
    places = _count_up(x.shape[-1] * step, x)  # to flatten a size that varies would ask for it
    nearest = x.index_select(-1, torch.div(places, step, rounding_mode="floor"))
    return torch.where(places % step == 0, nearest, 0)


def _fold_axis(pieces: Any, size: Any, padding: int, dilation: int, stride: int) -> Any:
    """Adds up [.., places in the window, windows] where they come from: [.., size]."""
    if stride > 1:
        pieces = _spread(pieces, stride)
    total: Any = None
    for place, piece in enumerate(pieces.unbind(-2)):
        before = place * dilation - padding
        moved = F.pad(piece, (before, size - before - piece.shape[-1]))
        total = moved if total is None else total + moved
    return total


def _col2im(
    self: Any, output_size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> Any:
    kernel = kernel_size[0] * kernel_size[1]
    axes = zip(output_size, kernel_size, dilation, padding, stride, strict=True)
    rows, columns = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in axes)
    channels = self.shape[-2] // kernel
    pieces = self.reshape(*self.shape[:-2], channels, *kernel_size, rows, columns)
    places = list(zip(output_size, padding, dilation, stride, strict=True))
    order = [*range(pieces.dim() - 4), *(d - 4 for d in (1, 3, 0, 2))]
    order = [d % pieces.dim() for d in order]
    tall = _fold_axis(pieces.permute(order), *places[0])  # [.., columns in the kernel, .., height]
    return _fold_axis(tall.movedim(-1, -3), *places[1])


# -- searching and counting --------------------------------------------------------------------


def _searchsorted(
    sorted_sequence: Any,
    self: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Any:
    """How many elements come before: those not at least (right: not more than) the value."""
    if not isinstance(self, torch.Tensor):
        self = torch.full((), self, dtype=sorted_sequence.dtype)
    if sorter is not None:
        sorted_sequence = sorted_sequence.gather(-1, sorter)
    if sorted_sequence.dim() > 1:
        sorted_sequence = sorted_sequence.unsqueeze(-2)
    value = self.unsqueeze(-1)
    if most(sorted_sequence.shape[-1]) * math.prod(map(most, self.shape)) > LIMIT:
        return NotImplemented
    behind = sorted_sequence > value if right or side == "right" else sorted_sequence >= value
    return torch.logical_not(behind).sum(-1, dtype=torch.int32 if out_int32 else torch.int64)


def _bucketize(self: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    return _searchsorted(boundaries, self, out_int32=out_int32, right=right)


def _isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Any:
    if math.prod(map(most, (*elements.shape, *test_elements.shape))) > LIMIT:
        return NotImplemented
    found = (elements.unsqueeze(-1) == test_elements.reshape(-1)).any(-1)
    return torch.logical_not(found) if invert else found


def _nonzero_static(self: Any, *, size: int, fill_value: int = -1) -> Any:
    """The n-th place lies behind all places with fewer than n trues up to them."""
    if self.dim() == 0 or math.prod(map(most, self.shape)) * size > LIMIT:
        return NotImplemented
    counted = torch.cumsum(self.reshape(-1) != 0, 0, dtype=torch.int64)
    wanted = _count_up(size, self).unsqueeze(1) + 1
    place = (counted < wanted).sum(1)
    axes: list[Any] = []
    for length in reversed(self.shape):
        axes.insert(0, place % length)
        place = torch.div(place, length, rounding_mode="floor")
    found = (counted >= wanted).any(1, keepdim=True)
    return torch.where(found, torch.stack(axes, 1), fill_value)


def _repeat_interleave(
    self: Any, repeats: Any, dim: int | None = None, *, output_size: Any = None
) -> Any:
    if output_size is None:
        return NotImplemented
    if dim is None:
        self, dim = self.reshape(-1), 0
    repeats = repeats.expand(self.shape[dim])
    ends = torch.cumsum(repeats, 0, dtype=torch.int64)
    places = _searchsorted(ends, _count_up(output_size, self), right=True)
    return places if places is NotImplemented else self.index_select(dim, places)


def _embedding_bag(
    weight: Any,
    indices: Any,
    offsets: Any,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """A sum, mean or maximum over those of all looked up rows that are in the bag."""
    rows, bags = indices.shape[0], offsets.shape[0] - include_last_offset
    pairs = most(rows) * most(bags)
    large = pairs * most(weight.shape[1]) > LIMIT
    if pairs > LIMIT or (large and mode == 2):
        return NotImplemented
    begun = _count_up(rows, weight) >= offsets.unsqueeze(1)
    bag = begun.sum(0, keepdim=True) - 1
    inside = _count_up(bags, weight).unsqueeze(1) == bag
    if padding_idx is not None and padding_idx >= 0:
        inside = inside & (indices != padding_idx)
    found = torch.nn.functional.embedding(indices, weight)
    if per_sample_weights is not None:
        found = found * per_sample_weights.unsqueeze(1)
    count = inside.sum(1, keepdim=True)
    if large:
        total = inside.to(found.dtype) @ found
        return total / count.clamp(min=1) if mode == 1 else total, None, None, None
    inside = inside.unsqueeze(2)
    if mode == 2:
        highest = torch.where(inside, found, -math.inf).amax(1)
        return torch.where(count > 0, highest, 0.0), None, None, None
    total = torch.where(inside, found, 0.0).sum(1)
    return total / count.clamp(min=1) if mode == 1 else total, None, None, None


# -- writing -----------------------------------------------------------------------------------


def _index_put_at(dim: int, index: Any) -> list[Any]:
    return [None] * dim + [index if index.dim() else index.reshape(1)]


def _index_add(self: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
    if self.dim() == 0:
        return NotImplemented
    source = source if alpha == 1 else source * alpha
    places = _index_put_at(dim % self.dim(), index)
    return aten.index_put.default(self, places, source, True)


def _index_copy(self: Any, dim: int, index: Any, source: Any) -> Any:
    if self.dim() == 0:
        return NotImplemented
    return aten.index_put.default(self, _index_put_at(dim % self.dim(), index), source)


def _index_fill(self: Any, dim: int, index: Any, value: Any) -> Any:
    if self.dim() == 0:
        return NotImplemented
    if isinstance(value, torch.Tensor):
        value = value.to(self.dtype)
    else:
        value = torch.full((), value, dtype=self.dtype)
    return aten.index_put.default(self, _index_put_at(dim % self.dim(), index), value)


def _index_reduce(
    self: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True
) -> Any:
    if self.dim() == 0:
        return NotImplemented
    dim %= self.dim()
    places = index.reshape([-1 if d == dim else 1 for d in range(self.dim())]).expand_as(source)
    name = {"prod": "prod", "mean": "mean", "amax": "amax", "amin": "amin"}[reduce]
    return torch.scatter_reduce(self, dim, places, source, name, include_self=include_self)


def _take(self: Any, index: Any) -> Any:
    return aten.index.Tensor(self.reshape(-1), [index])


def take_along_dim(self: Any, indices: Any, dim: int | None = None) -> Any:
    """A gather of what is broadcast but for one axis, along which places count modulo its size."""
    if dim is None:
        return take_along_dim(self.reshape(-1), indices.reshape(-1), 0)
    if self.dim() == 0 or self.dim() != indices.dim():
        return NotImplemented
    at = dim % self.dim()
    sizes: list[Any] = []
    for axis, (size, wanted) in enumerate(zip(self.shape, indices.shape, strict=True)):
        if axis != at and not (same_size(size, wanted) or 1 in _numbers(size, wanted)):
            return NotImplemented
        sizes.append(wanted if same_size(size, 1) else size)
    before, behind = sizes[:at], sizes[at + 1 :]
    wide = self.expand([*before, self.shape[at], *behind])
    places = indices.expand([*before, indices.shape[at], *behind])
    return wide.gather(at, places % self.shape[at])


def _numbers(*sizes: Any) -> list[int]:
    return [size for size in sizes if isinstance(size, int)]


def _put(self: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    places = [index.reshape(-1)]
    flat = aten.index_put.default(self.reshape(-1), places, source.reshape(-1), accumulate)
    return flat.reshape(self.shape)


def _masked_scatter(self: Any, mask: Any, source: Any) -> Any:
    """The n-th true takes the n-th element: how many trues came before is a running sum."""
    self, mask = torch.broadcast_tensors(self, mask)
    before = torch.cumsum(mask.reshape(-1), 0, dtype=torch.int64) - 1
    places = before.clamp(0, source.numel() - 1)
    picked = source.reshape(-1).index_select(0, places)
    return torch.where(mask, picked.reshape(self.shape), self)


# -- shapes ------------------------------------------------------------------------------------


def _meshgrid(tensors: Sequence[Any], *, indexing: str = "ij") -> list[Any]:
    swapped = indexing == "xy" and len(tensors) >= 2
    parts = [t.reshape(-1) for t in tensors]
    parts = [parts[1], parts[0], *parts[2:]] if swapped else parts
    sizes, rank = [part.shape[0] for part in parts], len(parts)
    grids = [
        part.reshape([-1 if d == axis else 1 for d in range(rank)]).expand(sizes)
        for axis, part in enumerate(parts)
    ]
    return [grids[1], grids[0], *grids[2:]] if swapped else grids


def linspace(start: Any, end: Any, steps: Any, *, dtype: Any = None, **placement: Any) -> Any:
    """From both ends to the middle, as PyTorch counts."""
    dtype = dtype or torch.get_default_dtype()
    if not dtype.is_floating_point:  # counted in float64, whose rounding decides what is cut off
        return NotImplemented
    first, last = (
        b.to(dtype) if isinstance(b, torch.Tensor) else torch.full((), b, dtype=dtype)
        for b in (start, end)
    )
    step = (last - first) / torch.sym_max(steps - 1, 1)
    places = torch.arange(steps)
    behind = last - step * (steps - 1 - places)
    return torch.where(places < torch.sym_max(steps // 2, 1), first + step * places, behind)


def _broadcast_in_dim(a: Any, shape: Any, broadcast_dimensions: Sequence[int]) -> Any:
    sizes = [1] * len(shape)
    for dim, size in zip(broadcast_dimensions, a.shape, strict=True):
        sizes[dim] = size
    return a.reshape(sizes).expand(shape)


INDEXING: dict[Any, Callable[..., Any]] = {
    aten.bucketize.Tensor: _bucketize,
    aten.col2im.default: _col2im,
    aten.diagonal.default: _diagonal,
    aten.diagonal_copy.default: _diagonal,
    aten.diagonal_scatter.default: _diagonal_scatter,
    aten.embedding_bag.padding_idx: _embedding_bag,
    aten.embedding_bag.default: _embedding_bag,
    aten._embedding_bag.default: _embedding_bag,
    aten._embedding_bag_forward_only.default: _embedding_bag,
    aten.index_add.default: _index_add,
    aten.index_copy.default: _index_copy,
    aten.index_fill.int_Scalar: _index_fill,
    aten.index_fill.int_Tensor: _index_fill,
    aten.index_reduce.default: _index_reduce,
    aten.isin.Tensor_Tensor: _isin,
    aten.linspace.Scalar_Tensor: linspace,
    aten.linspace.Tensor_Scalar: linspace,
    aten.linspace.Tensor_Tensor: linspace,
    aten.masked_scatter.default: _masked_scatter,
    aten.meshgrid.default: _meshgrid,
    aten.meshgrid.indexing: _meshgrid,
    aten.nonzero_static.default: _nonzero_static,
    aten.put.default: _put,
    aten.repeat_interleave.self_Tensor: _repeat_interleave,
    aten.searchsorted.Tensor: _searchsorted,
    aten.searchsorted.Scalar: _searchsorted,
    aten.take.default: _take,
    aten.take_along_dim.default: take_along_dim,
    aten.trace.default: _trace,
    aten.unfold.default: _unfold,
    aten.unfold_copy.default: _unfold,
    torch.ops.prims.broadcast_in_dim.default: _broadcast_in_dim,
}
