# SPDX-License-Identifier: Apache-2.0
"""How the oracles compare: one measure of error for whole models and single layers."""

from __future__ import annotations

import math

import torch


def relative_error(result: torch.Tensor, expected: torch.Tensor) -> float:
    """max |result - expected| / max |expected|, over the finite elements.

    Integers and bools are right or infinitely wrong; so is what differs in type, shape, or in
    where it is NaN or infinite.
    """
    if not _same_kind(result, expected):
        return math.inf
    difference, scale = _difference(result, expected)
    return difference / scale if scale else (math.inf if difference else 0.0)


def within(
    result: torch.Tensor, expected: torch.Tensor, rtol: float = 1e-4, atol: float = 1e-5
) -> bool:
    """True when types and shapes agree, and the relative error is at most rtol or no difference
    exceeds atol; integers and bools have to be equal.
    """
    if not _same_kind(result, expected):
        return False
    difference, scale = _difference(result, expected)
    return difference <= max(rtol * scale, atol)


def _same_kind(result: torch.Tensor, expected: torch.Tensor) -> bool:
    """Same type, shape, places of NaN and infinities; same elements where they are not floats."""
    if result.dtype != expected.dtype or result.shape != expected.shape:
        return False
    if not expected.is_floating_point():
        return torch.equal(result, expected)
    return torch.equal(_special(result), _special(expected))


def _special(value: torch.Tensor) -> torch.Tensor:
    """0 for a finite element, 1 for NaN, 2 and 3 for the infinities."""
    return torch.isnan(value) * 1 + torch.isposinf(value) * 2 + torch.isneginf(value) * 3


def _difference(result: torch.Tensor, expected: torch.Tensor) -> tuple[float, float]:
    finite = torch.isfinite(expected)
    a, b = result[finite].double(), expected[finite].double()
    return (float((a - b).abs().max()), float(b.abs().max())) if b.numel() else (0.0, 0.0)


def assert_close(
    result: torch.Tensor,
    expected: torch.Tensor,
    what: str,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> None:
    """Raises an AssertionError that tells types, shapes and error where two tensors differ."""
    if not within(result, expected, rtol, atol):
        error = relative_error(result, expected)
        raise AssertionError(
            f"{what}: relative error {error:.3g} (allowed {rtol:g}); got {result.dtype}"
            f"{list(result.shape)}, eager gives {expected.dtype}{list(expected.shape)}"
        )
