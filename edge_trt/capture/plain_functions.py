# SPDX-License-Identifier: Apache-2.0
"""Functions whose kernels ask for values, or fix sizes, in functions that do neither.

`cov` asks whether its divisor is positive, `combinations` counts what a mask lets through, and
`kron` and the spectral norms take no symbolic size.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import sym_max

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST = 1 << 20
"""Indices that are written into a model."""


def _cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """Covariances of rows; weights are not checked to be positive."""
    if not input.is_floating_point() or input.dim() > 2:
        return NotImplemented
    x = input if input.dim() == 2 else input.reshape(1, -1)
    weights, total = _weights(fweights, aweights, x)
    if aweights is not None and correction:
        correction = correction * (weights * aweights).sum() / total
    divisor = total - correction
    positive = divisor.clamp(min=0) if isinstance(divisor, torch.Tensor) else sym_max(divisor, 0)
    apart = x - (x * weights).sum(1, keepdim=True) / total
    result = (apart * weights) @ apart.mT / positive
    return result.squeeze() if isinstance(x.shape[0], int) else result


def _weights(fweights: Any, aweights: Any, x: Any) -> tuple[Any, Any]:
    """How much each observation counts, and all together."""
    given = [w.to(x.dtype) for w in (fweights, aweights) if w is not None]
    if not given:
        return 1, x.shape[1]
    weights: Any = math.prod(given[1:], start=given[0])
    return weights, weights.sum()


def _corrcoef(input: Any) -> Any:
    covariances = _cov(input)
    if covariances is NotImplemented or covariances.dim() == 0:
        return covariances if covariances is NotImplemented else covariances / covariances
    deviations = covariances.diagonal().sqrt()
    return (covariances / deviations.unsqueeze(1) / deviations.unsqueeze(0)).clamp(-1, 1)


def _combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """Places of all choices, which the number of elements decides."""
    count = input.shape[0]
    if not isinstance(count, int) or r < 1 or math.comb(count + r, r) * r > _MOST:
        return NotImplemented
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    chosen = list(choose(range(count), r))
    places = torch.tensor(chosen, dtype=torch.int64).reshape(len(chosen), r)
    return input[places]


def _kron(input: Any, other: Any) -> Any:
    """Each element times all of the other, whose axes follow those of the first one by one."""
    sizes = (*input.shape, *other.shape)
    if not any(isinstance(size, torch.SymInt) for size in sizes):
        return NotImplemented
    rank = max(input.dim(), other.dim())
    one, two = ((1,) * (rank - x.dim()) + tuple(x.shape) for x in (input, other))
    outer = input.reshape([n for size in one for n in (size, 1)])
    inner = other.reshape([n for size in two for n in (1, size)])
    return (outer * inner).reshape([a * b for a, b in zip(one, two, strict=True)])


def _matrix_norm(
    A: Any,  # noqa: N803 (torch's)
    ord: Any = "fro",  # noqa: A002 (torch's)
    dim: Any = (-2, -1),
    keepdim: bool = False,
    **options: Any,
) -> Any:
    """Those of singular values, which their own kernel takes of any number of matrices."""
    reduce = _OF_SINGULAR_VALUES.get(ord)
    if reduce is None or options or not any(isinstance(n, torch.SymInt) for n in A.shape):
        return NotImplemented
    norm = reduce(torch.linalg.svdvals(A.movedim(dim, (-2, -1))), -1)
    if keepdim:
        for axis in sorted(axis % A.dim() for axis in dim):
            norm = norm.unsqueeze(axis)
    return norm


_OF_SINGULAR_VALUES = {2: torch.amax, -2: torch.amin, "nuc": torch.sum}

PLAIN: dict[Any, Callable[..., Any]] = {
    torch.cov: _cov,
    torch.Tensor.cov: _cov,
    torch.corrcoef: _corrcoef,
    torch.Tensor.corrcoef: _corrcoef,
    torch.linalg.matrix_norm: _matrix_norm,
    torch.combinations: _combinations,
    torch.kron: _kron,
    torch.Tensor.kron: _kron,
}
"""Function of torch -> the same without questions, or ``NotImplemented``."""
