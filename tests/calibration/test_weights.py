# SPDX-License-Identifier: Apache-2.0
"""Scales of weights, and the levels they leave."""

from __future__ import annotations

import numpy as np
import pytest

from edge_trt_calibration import CalibrationError
from edge_trt_calibration.weights import along, quantize, weight_scales

WEIGHTS = np.random.default_rng(0).standard_normal((4, 6, 3)).astype(np.float32)


@pytest.mark.parametrize("axis", [0, 1, 2, None])
@pytest.mark.parametrize("method", ["max", "mse"])
def test_every_weight_is_within_half_a_step_or_clipped(axis: int | None, method: str) -> None:
    scales = weight_scales(WEIGHTS, axis, method)
    assert scales.dtype == np.float32
    assert scales.shape == (() if axis is None else (WEIGHTS.shape[axis],))
    steps = along(scales, axis, WEIGHTS.ndim)
    levels = quantize(WEIGHTS, scales, axis)
    assert levels.dtype == np.int8
    assert levels.min() >= -127
    lost = np.abs(levels * steps - WEIGHTS)
    inside = np.abs(WEIGHTS) <= 127.5 * steps
    assert (lost[inside] <= np.broadcast_to(steps / 2, lost.shape)[inside] * 1.001).all()
    assert inside.all() or method == "mse"


def test_the_squared_error_is_never_larger_than_that_of_max() -> None:
    weights = np.random.default_rng(1).laplace(size=(2, 100_000)).astype(np.float32)

    def error(method: str) -> np.ndarray:
        scales = weight_scales(weights, 0, method)
        lost = quantize(weights, scales, 0) * scales[:, None] - weights
        return (lost**2).sum(axis=1)

    assert (error("mse") <= error("max") * (1 + 1e-6)).all()
    assert error("mse").sum() < error("max").sum() * 0.8


@pytest.mark.parametrize("weights", [np.zeros((3, 2)), np.array([[0, 0], [1, -2], [0, 0]])])
def test_channels_of_zeros_have_a_scale(weights: np.ndarray) -> None:
    scales = weight_scales(weights.astype(np.float32), 0)
    assert (scales > 0).all()
    assert (quantize(weights, scales, 0)[weights == 0] == 0).all()


def test_halves_go_to_the_even_level() -> None:
    weights = np.array([0.5, 1.5, -0.5, -2.5, 127], np.float32)
    assert quantize(weights, np.float32(1), None).tolist() == [0, 2, 0, -2, 127]


@pytest.mark.parametrize(
    ("weights", "method", "message"),
    [
        (WEIGHTS, "kl", "no method 'kl' for weights: choose max or mse"),
        (np.array([[np.inf], [1.0]]), "max", "1 channels are not finite"),
    ],
)
def test_bad_weights_are_refused(weights: np.ndarray, method: str, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        weight_scales(weights, 0, method)
