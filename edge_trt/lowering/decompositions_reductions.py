# SPDX-License-Identifier: Apache-2.0
"""Reductions and running results in smaller operators.

TensorRT's only running result is the sum. The others double the distance: every element is joined
with the one 1 before it, then 2, 4, 8, ... so that n elements take log2(n) steps over the tensor.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import torch

from edge_trt.conversion.size_ranges import most
from edge_trt.lowering.edit import aten

if TYPE_CHECKING:
    from collections.abc import Callable


MOST_STEPS = 13
"""Most doublings of a scan: enough for an axis of 8192."""


def _scan(join: Callable[[Any, Any], Any], x: Any, dim: int, neutral: Any) -> Any:
    """Running result of `join` along an axis; `neutral` comes before the first element."""
    distance = 1
    while distance < most(x.shape[dim]):
        x = join(x, _moved(x, dim, distance, neutral))
        distance *= 2
    return x


def _moved(x: Any, dim: int, distance: int, neutral: Any) -> Any:
    """What is `distance` before each element of an axis."""
    size, after = x.shape[dim], x.dim() - 1 - dim % x.dim()
    if isinstance(size, int):
        return aten.constant_pad_nd(x, [0, 0] * after + [distance, -distance], neutral)
    # The axis may be shorter than the distance.
    longer = aten.constant_pad_nd(x, [0, 0] * after + [distance, 0], neutral)
    return aten.slice(longer, dim, 0, size)


def _short_axis(function: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse an axis that needs too many steps, as one whose size has no limit does."""

    @functools.wraps(function)
    def checked(self: Any, dim: int, **options: Any) -> Any:
        fits = self.dim() > 0 and most(self.shape[dim]) <= 1 << MOST_STEPS
        return function(self, dim, **options) if fits else NotImplemented

    return checked


@_short_axis
def _cumprod(self: Any, dim: int, *, dtype: Any = None) -> Any:
    whole = torch.int64 if not self.is_floating_point() else self.dtype
    return _scan(torch.mul, self.to(dtype or whole), dim, 1)


@_short_axis
def _logcumsumexp(self: Any, dim: int) -> Any:
    return _scan(torch.logaddexp, self, dim, -math.inf)


def _running_extreme(pick: Callable[[Any, Any], Any], sign: int) -> Callable[..., Any]:
    @_short_axis
    def running(self: Any, dim: int) -> Any:
        if self.dtype is torch.bool:
            return NotImplemented
        if self.is_floating_point():
            neutral: Any = -sign * math.inf
        else:
            limits = torch.iinfo(self.dtype)
            neutral = limits.min if sign > 0 else limits.max
        values = _scan(pick, self, dim, neutral)
        # Of equal elements PyTorch names the last: the last place that nothing before it exceeds.
        # An engine may keep more digits of the element than of the result: they need not be equal.
        before = _moved(values, dim, 1, neutral)
        shape = [-1] + [1] * (self.dim() - 1 - dim % self.dim())
        places = torch.arange(self.shape[dim]).reshape(shape)
        at = torch.where(self >= before if sign > 0 else self <= before, places, 0)
        return values, _scan(torch.maximum, at, dim, 0)

    return running


def _nansum(self: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    kept = torch.where(torch.isnan(self), 0.0, self) if self.is_floating_point() else self
    dims = dim or list(range(self.dim()))
    return torch.sum(kept, dims, keepdim, dtype=dtype)


def _var_mean(
    self: Any, dim: Any = None, *, correction: Any = None, keepdim: bool = False
) -> tuple[Any, Any]:
    dims = dim or list(range(self.dim()))
    variance = torch.var(self, dims, correction=correction, keepdim=keepdim)
    return variance, torch.mean(self, dims, keepdim=keepdim)


def _std_mean(
    self: Any, dim: Any = None, *, correction: Any = None, keepdim: bool = False
) -> tuple[Any, Any]:
    variance, mean = _var_mean(self, dim, correction=correction, keepdim=keepdim)
    return torch.sqrt(variance), mean


def _dims_first(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adapt to the overload ``.dim``, which says unbiased instead of a correction."""

    def adapted(self: Any, dim: Any, unbiased: bool = True, keepdim: bool = False) -> Any:
        return function(self, dim, correction=int(unbiased), keepdim=keepdim)

    return adapted


def _of_all(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adapt to the overload ``.default``, which takes all dimensions."""

    def adapted(self: Any, unbiased: bool = True) -> Any:
        return function(self, correction=int(unbiased))

    return adapted


def _prims_sum(inp: Any, dims: Any, *, output_dtype: Any = None) -> Any:
    dims = list(range(inp.dim())) if dims is None else dims
    return torch.sum(inp, dims, dtype=output_dtype or inp.dtype) if dims else inp


def _multilabel_margin_loss(self: Any, target: Any, reduction: int) -> Any:
    """PyTorch's rule also counts what stands behind the -1 that ends a row of targets."""
    count = self.shape[-1]
    places = torch.arange(count)
    end = torch.amin(torch.where(target == -1, places, count), -1, keepdim=True)
    given = places < end
    at_target = torch.gather(self, -1, torch.where(given, target, 0)).unsqueeze(-1)
    is_target = (torch.where(given, target, -1).unsqueeze(-1) == places).any(-2, keepdim=True)
    margin = torch.clamp_min(1 - at_target + self.unsqueeze(-2), 0)
    kept = torch.where(torch.logical_or(~given.unsqueeze(-1), is_target), 0, margin)
    loss = torch.sum(kept, [-2, -1]) / count
    if reduction != 0:
        loss = torch.mean(loss) if reduction == 1 else torch.sum(loss)
    return loss, is_target.squeeze(-2).to(self.dtype)


REDUCTIONS: dict[Any, Callable[..., Any]] = {
    aten.cummax.default: _running_extreme(torch.maximum, 1),
    aten.cummin.default: _running_extreme(torch.minimum, -1),
    aten.cumprod.default: _cumprod,
    aten.logcumsumexp.default: _logcumsumexp,
    aten.multilabel_margin_loss_forward.default: _multilabel_margin_loss,
    aten.nansum.default: _nansum,
    aten.std_mean.correction: _std_mean,
    aten.std_mean.default: _of_all(_std_mean),
    aten.std_mean.dim: _dims_first(_std_mean),
    aten.var_mean.correction: _var_mean,
    aten.var_mean.default: _of_all(_var_mean),
    aten.var_mean.dim: _dims_first(_var_mean),
    torch.ops.prims.sum.default: _prims_sum,
}
