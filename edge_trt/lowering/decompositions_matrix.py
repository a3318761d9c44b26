# SPDX-License-Identifier: Apache-2.0
"""Matrix products in smaller operators. Small ones of integers are multiplied and summed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from edge_trt.conversion.size_ranges import most
from edge_trt.lowering.edit import aten

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST = 1 << 20
"""Most products that a matrix product of integers may need: it keeps all of them in memory."""


def _matmul(self: Any, other: Any) -> Any:
    if self.is_floating_point():
        return torch.matmul(self, other)
    left = self if self.dim() > 1 else self.unsqueeze(0)
    right = other if other.dim() > 1 else other.unsqueeze(1)
    sizes = (*torch.broadcast_shapes(left.shape[:-2], right.shape[:-2]), *left.shape[-2:])
    if math.prod(map(most, (*sizes, right.shape[-1]))) > LARGEST:
        return NotImplemented
    products = left.unsqueeze(-1) * right.unsqueeze(-3)
    result = torch.sum(products, -2, dtype=self.dtype)
    result = result if other.dim() > 1 else result.squeeze(-1)
    return result if self.dim() > 1 else result.squeeze(-1 if other.dim() == 1 else -2)


def _linear(input: Any, weight: Any, bias: Any = None) -> Any:
    if input.is_floating_point():
        return NotImplemented
    product = torch.matmul(input, weight.t())
    return product if bias is None else product + bias


def _weighted(self: Any, product: Any, beta: Any, alpha: Any) -> Any:
    product = product if alpha == 1 else product * alpha
    if beta == 0:  # then PyTorch does not read it: not even NaN matters
        return product
    return product + (self if beta == 1 else self * beta)


def _addmm(self: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return _weighted(self, torch.matmul(mat1, mat2), beta, alpha)


def _addbmm(self: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """One product: the sum over the batch is part of the inner dimension."""
    left = batch1.transpose(0, 1).flatten(1)
    return _weighted(self, torch.matmul(left, batch2.flatten(0, 1)), beta, alpha)


def _bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """input1 times every slice of the weight at once, then row by row times input2."""
    slices = weight.permute(1, 0, 2).flatten(1)
    rows = torch.matmul(input1, slices).unflatten(-1, (weight.shape[0], weight.shape[2]))
    result = torch.matmul(rows, input2.unsqueeze(-1)).squeeze(-1)
    return result if bias is None else result + bias


MATRIX: dict[Any, Callable[..., Any]] = {
    aten.addbmm.default: _addbmm,
    aten.addmm.default: _addmm,
    aten.baddbmm.default: _addmm,
    aten.bilinear.default: _bilinear,
    aten.bmm.default: _matmul,
    aten.dot.default: _matmul,
    aten.linear.default: _linear,
    aten.matmul.default: _matmul,
    aten.mm.default: _matmul,
    aten.mv.default: _matmul,
}
