# SPDX-License-Identifier: Apache-2.0
"""Functions of single elements in smaller operators, as accurate as PyTorch's own.

TensorRT has neither log1p nor expm1, and the formulas one thinks of first lose all digits near 0.
Where a float is -0.0 its sign decides, which comparisons do not see and the reciprocal does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from edge_trt.lowering.edit import aten

if TYPE_CHECKING:
    from collections.abc import Callable

ERFC = (
    -1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806,
    0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277,
)  # fmt: skip
"""Chebyshev fit of log(erfc(x) / t) + x^2 in t = 1 / (1 + x / 2), good to 1.2e-7 for all x >= 0."""


def _float(x: Any) -> Any:
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())


def _addcmul(self: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    product = tensor1 * tensor2
    return self + (product if value == 1 else product * value)


def _addcdiv(self: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    quotient = tensor1 / tensor2
    return self + (quotient if value == 1 else quotient * value)


def _log1p(self: Any) -> Any:
    x = _float(self)
    near = torch.atanh(x / (x + 2)) * 2  # the same function, with all digits of a small x
    return torch.where(torch.abs(x) < 0.5, near, torch.log(x + 1))


def _expm1(self: Any) -> Any:
    x = _float(self)
    return torch.tanh(x * 0.5) * (torch.exp(x) + 1)


def _exp2(self: Any) -> Any:
    return torch.pow(2.0, _float(self))


def _log_of(base: float) -> Callable[[Any], Any]:
    """A logarithm that is exact for the powers of its base, as others round or compare it."""

    def logarithm(self: Any) -> Any:
        x = _float(self)
        result = torch.log(x) / math.log(base)
        nearest = torch.round(result)
        return torch.where(torch.pow(base, nearest) == x, nearest, result)

    return logarithm


def _erfc(self: Any) -> Any:
    """Accurate for large x too, where 1 - erf(x) is nothing but rounding errors."""
    x = torch.abs(_float(self))
    t = torch.reciprocal(x * 0.5 + 1)
    exponent: Any = ERFC[-1]
    for coefficient in reversed(ERFC[:-1]):
        exponent = t * exponent + coefficient
    tail = t * torch.exp(exponent - x * x)
    return torch.where(self < 0, 2 - tail, tail)


def _signbit(self: Any) -> Any:
    if not self.is_floating_point():
        return self < 0
    return torch.where(self == 0, torch.reciprocal(self), self) < 0


def _copysign(self: Any, other: Any) -> Any:
    magnitude = torch.abs(self) if self.dtype is not torch.bool else self
    magnitude = _float(magnitude) * torch.ones((), dtype=torch.result_type(_float(self), other))
    if not isinstance(other, torch.Tensor):
        return -magnitude if math.copysign(1, other) < 0 else magnitude
    return torch.where(_signbit(other), -magnitude, magnitude)


def _atan2(self: Any, other: Any) -> Any:
    """The quotient's angle lies right of the y axis; points left of it are half a turn away."""
    y, x = _float(self), _float(other)
    # Two infinities have no quotient, and the angle of a diagonal.
    both = (torch.abs(y) == math.inf) & (torch.abs(x) == math.inf)
    quotient = torch.where(both, y.clamp(-1, 1), y) / torch.where(both, x.clamp(-1, 1), x)
    angle = torch.where(y == 0, y, torch.atan(quotient))
    turn = torch.where(_signbit(y), -math.pi, math.pi).to(angle.dtype)
    return torch.where(_signbit(x), angle + turn, angle)


def _hypot(self: Any, other: Any) -> Any:
    """Scaled by the longer side, so that squares neither overflow nor vanish; inf beats NaN."""
    a, b = torch.abs(self), torch.abs(other)
    longer, shorter = torch.maximum(a, b), torch.minimum(a, b)
    ratio = shorter / torch.where(longer == 0, 1.0, longer)
    length = longer * torch.sqrt(ratio * ratio + 1)
    return torch.where((a == math.inf) | (b == math.inf), math.inf, length)


def _extreme_number(pick: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Fmax and fmin: of a number and NaN, the number."""

    def extreme(self: Any, other: Any) -> Any:
        found = pick(self, other)
        if not found.is_floating_point():
            return found
        found = torch.where(torch.isnan(self), other, found)
        return torch.where(torch.isnan(other), self, found)

    return extreme


def _logaddexp(self: Any, other: Any) -> Any:
    # Equal infinities have no difference.
    apart = torch.maximum(self, other) + torch.log1p(torch.exp(-torch.abs(self - other)))
    return torch.where(self == other, self + math.log(2), apart)


def _logaddexp2(self: Any, other: Any) -> Any:
    rest = torch.log1p(torch.exp2(-torch.abs(self - other))) / math.log(2)
    return torch.where(self == other, self + 1, torch.maximum(self, other) + rest)


def _round_decimals(self: Any, *, decimals: int) -> Any:
    if not self.is_floating_point():
        return NotImplemented
    scale = 10.0 ** abs(decimals)
    return torch.round(self * scale) / scale if decimals > 0 else torch.round(self / scale) * scale


def _glu(self: Any, dim: int = -1) -> Any:
    left, right = torch.chunk(self, 2, dim)
    return left * torch.sigmoid(right)


def _mish(self: Any) -> Any:
    return self * torch.tanh(torch.nn.functional.softplus(self))


def _silu(self: Any) -> Any:
    return self * torch.sigmoid(self)


def _hardswish(self: Any) -> Any:
    return self * torch.nn.functional.hardsigmoid(self)


def _square(self: Any) -> Any:
    return self * self


def _rsub(self: Any, other: Any, alpha: Any = 1) -> Any:
    scaled = self if alpha == 1 else self * alpha
    return torch.neg(scaled) + other


def _prims_div(a: Any, b: Any) -> Any:
    return torch.div(a, b, rounding_mode=None if a.is_floating_point() else "trunc")


def _power_of_integers(self: Any, exponent: Any) -> Any:
    """A product of the powers of two that the exponent is made of.

    Powers above 63 overflow but for 0, 1 and -1, to which it matters only whether they are even. So
    it is with negative ones, which are 0 for all other integers.
    """
    dtype = torch.result_type(self, exponent)
    if dtype not in (torch.int32, torch.int64):
        return NotImplemented
    base = self.to(dtype) if isinstance(self, torch.Tensor) else torch.full((), self, dtype=dtype)
    exponent = exponent.to(dtype)
    odd = torch.remainder(exponent, 2)
    rest = torch.where(exponent > 63, odd + 62, torch.where(exponent < 0, odd, exponent))
    result: Any = torch.ones((), dtype=dtype)
    square = base
    for _ in range(6):  # bits of 63
        half = torch.div(rest, 2, rounding_mode="floor")
        result = result * torch.where(rest - half * 2 == 1, square, 1)
        square, rest = square * square, half
    return torch.where((exponent < 0) & (torch.abs(base) != 1), 0, result)


MATH: dict[Any, Callable[..., Any]] = {
    aten.addcdiv.default: _addcdiv,
    aten.addcmul.default: _addcmul,
    aten.atan2.default: _atan2,
    aten.copysign.Scalar: _copysign,
    aten.copysign.Tensor: _copysign,
    aten.erfc.default: _erfc,
    aten.exp2.default: _exp2,
    aten.expm1.default: _expm1,
    aten.fmax.default: _extreme_number(torch.maximum),
    aten.fmin.default: _extreme_number(torch.minimum),
    aten.glu.default: _glu,
    aten.hardswish.default: _hardswish,
    aten.hypot.default: _hypot,
    aten.log10.default: _log_of(10.0),
    aten.log1p.default: _log1p,
    aten.log2.default: _log_of(2.0),
    aten.logaddexp.default: _logaddexp,
    aten.logaddexp2.default: _logaddexp2,
    aten.mish.default: _mish,
    aten.pow.Scalar: _power_of_integers,
    aten.pow.Tensor_Tensor: _power_of_integers,
    aten.round.decimals: _round_decimals,
    aten.rsub.Scalar: _rsub,
    aten.rsub.Tensor: _rsub,
    aten.signbit.default: _signbit,
    aten.silu.default: _silu,
    aten.square.default: _square,
    torch.ops.prims.div.default: _prims_div,
}
