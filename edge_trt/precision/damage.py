# SPDX-License-Identifier: Apache-2.0
"""What int8 does to every layer and to the outputs, measured on a few samples.

A layer's own noise is that of its result with quantized inputs and weights, beside the same layer
in float32 on the same values: twins in one network tell it for all layers in one run. What has
come together up to there is the difference between the two networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edge_trt.engines.onnx.observer import Group
from edge_trt.precision.observed import ObservedModel


@dataclass(slots=True)
class Noise:
    """Energy of a signal and of its error, summed over samples."""

    signal: float = 0.0
    error: float = 0.0

    def add(self, exact: np.ndarray, found: np.ndarray) -> None:
        """Adds one array; what is not finite in the exact one is left out."""
        valid = np.isfinite(exact)
        signal = np.where(valid, exact, 0.0).astype(np.float64)
        lost = np.where(valid, found, 0.0).astype(np.float64) - signal
        self.signal += float(np.vdot(signal, signal))
        self.error += float(np.vdot(lost, lost))

    @property
    def decibels(self) -> float | None:
        """Signal to noise ratio; None where there is no noise, or no signal."""
        if not self.signal or not self.error or not math.isfinite(self.error):
            return None
        return 10 * math.log10(self.signal / self.error)


@dataclass(slots=True)
class Damage:
    """Noise by the name of a layer's result, and by the name of an output."""

    own: dict[str, Noise] = field(default_factory=dict[str, Noise])
    total: dict[str, Noise] = field(default_factory=dict[str, Noise])
    outputs: dict[str, Noise] = field(default_factory=dict[str, Noise])


def measure(
    exact: ObservedModel,
    quantized: ObservedModel,
    twins: Mapping[str, str],
    probes: Iterable[Group],
) -> Damage:
    """Runs both models.

    Args:
        exact: the model in float32 with twins; shows each layer's result and its twin's.
        quantized: the model in int8; shows each layer's result.
        twins: the twin's result by that of the layer.
        probes: samples.
    """
    damage = Damage({n: Noise() for n in twins}, {n: Noise() for n in twins})
    for probe in probes:
        # Copies: an array is overwritten before its counterpart is there.
        seen = {n: a.copy() for group in exact.observe(probe) for n, a in group.items()}
        for name, twin in twins.items():
            damage.own[name].add(seen[name], seen[twin])
        outputs = {name: array.copy() for name, array in exact.outputs.items()}
        for group in quantized.observe(probe):
            for name, array in group.items():
                damage.total[name].add(seen[name], array)
        for name, array in quantized.outputs.items():
            if array.dtype.kind == "f":
                damage.outputs.setdefault(name, Noise()).add(outputs[name], array)
    return damage
