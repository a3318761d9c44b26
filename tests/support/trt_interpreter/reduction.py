# SPDX-License-Identifier: Apache-2.0
"""Reductions, scans, top-k and non-zero."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tests.support.trt_interpreter.call import Call, Function, Result


def _product(x: torch.Tensor, axes: list[int]) -> torch.Tensor:
    for axis in axes:
        x = x.prod(axis, keepdim=True, dtype=x.dtype)
    return x


REDUCE: dict[str, Callable[[torch.Tensor, list[int]], torch.Tensor]] = {
    "SUM": lambda x, axes: x.sum(axes, keepdim=True, dtype=x.dtype),
    "PROD": _product,
    "MAX": lambda x, axes: x.amax(axes, keepdim=True),
    "MIN": lambda x, axes: x.amin(axes, keepdim=True),
    "AVG": lambda x, axes: x.mean(axes, keepdim=True),
}


def reduce(call: Call) -> torch.Tensor:
    op, axes, x = call.enum("op"), call.axes(), call.input
    if op not in REDUCE or not axes or x.dtype is torch.bool:
        raise call.unsupported(f"{op} of {x.dtype} over axes {axes}")
    if op == "AVG" and not x.is_floating_point():
        raise call.unsupported("the mean of integers")
    result = REDUCE[op](x, axes)
    kept = [size for axis, size in enumerate(result.shape) if axis not in axes]
    return result if call.layer.keep_dims else result.reshape(kept)


def topk(call: Call) -> Result:
    """The k largest or smallest in order; equal elements in order of their places."""
    axis = call.axis()
    k = call.sizes(1)[0] if call.has(1) else call.layer.k
    ordered = torch.sort(call.input, dim=axis, descending=call.enum("op") == "MAX", stable=True)
    values, indices = (t.narrow(axis, 0, k) for t in ordered)
    return values, indices.to(call.output_dtype(1))


def cumulative(call: Call) -> torch.Tensor:
    """Running sum; exclusive leaves the element itself out, reverse runs from the end."""
    x, axis = call.input, call.sizes(1)[0]
    if call.enum("op") != "SUM":
        raise call.unsupported(f"cumulative {call.enum('op')}")
    source = x.flip(axis) if call.layer.reverse else x
    total = source.cumsum(axis, dtype=x.dtype)
    if call.layer.exclusive:
        first = torch.zeros_like(total.narrow(axis, 0, min(1, x.shape[axis])))
        total = torch.cat([first, total.narrow(axis, 0, max(x.shape[axis] - 1, 0))], axis)
    return total.flip(axis) if call.layer.reverse else total


def non_zero(call: Call) -> torch.Tensor:
    """Places of the non-zero elements, in row-major order: [rank, count]."""
    return call.input.nonzero().T.to(call.output_dtype())


FUNCTIONS: dict[str, Function] = {
    "CUMULATIVE": cumulative,
    "NON_ZERO": non_zero,
    "REDUCE": reduce,
    "TOPK": topk,
}
