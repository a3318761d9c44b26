# SPDX-License-Identifier: Apache-2.0
"""The calibration method `best`: for each tensor the method that leaves least noise at the outputs.

A histogram does not tell what an error does further on: clipping moves a whole channel, rounding
averages out. So the quantized model itself is asked. All tensors start with `mse`; in the order of
the network each one tries the other methods, and keeps what lowers the noise of the whole model
over the probes. The result is never worse than `mse` there. A method that is behind after a few
probes is dropped there: nine of ten are, and running the model is what takes the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edge_trt.engines.onnx.observer import Group
from edge_trt.network.graph import Tensor
from edge_trt.precision.damage import Noise
from edge_trt.precision.observed import runner, with_networks
from edge_trt.precision.range_names import key
from edge_trt.precision.sharing import share
from edge_trt_calibration import CalibrationError, Ranges, TensorRange
from edge_trt_calibration.ranges import choose

if TYPE_CHECKING:
    from edge_trt.precision.quantization import Quantization

FIRST = "mse"
"""What every tensor starts with."""

OTHERS = ("max", "percentile", "entropy")

SAME = 0.01
"""Relative difference up to which two ranges are not worth a comparison."""


LEAD = 0.3
"""Relative lead of the best choice so far that decides after one probe; half of it after two."""


def pick(stage: Quantization, ranges: Ranges, step: Callable[[float, str], None]) -> Ranges:
    """Chooses a method for each tensor.

    Args:
        stage: the model in fp32, with probes.
        ranges: its ranges by any method, with their histograms.
        step: told how far it is.

    Raises:
        CalibrationError: the model has no output of floats, so that no noise can be seen.
    """
    rated = _Rated(stage, ranges)
    candidates = {method: choose(ranges.histograms, method) for method in OTHERS}
    chosen = choose(ranges.histograms, FIRST)
    smallest = rated.noise(chosen, None)
    assert smallest is not None
    groups = list(_groups(stage))
    for i, names in enumerate(groups):
        step(i / len(groups), f"methods of {i} of {len(groups)} tensors")
        for found in candidates.values():
            if all(_is_same(found[name], chosen[name]) for name in names):
                continue
            trial = chosen | {name: found[name] for name in names}
            noise = rated.noise(trial, smallest)
            if noise is not None:
                chosen, smallest = trial, noise
    return replace(ranges, method="best", tensors=chosen)


class _Rated:
    """The model in fp32, beside which choices are judged."""

    def __init__(self, stage: Quantization, ranges: Ranges) -> None:
        self._stage = stage
        self._ranges = ranges
        run = runner(stage.bundle, stage.fallbacks)
        self._exact = [_floats(run(probe)) for probe in stage.probes]
        signals: dict[str, Noise] = {}
        for outputs in self._exact:
            for name, array in outputs.items():
                signals.setdefault(name, Noise()).add(array, array)
        self._signal = {name: found.signal for name, found in signals.items() if found.signal}
        if not self._signal:
            raise CalibrationError(
                "the method best looks at the noise of float outputs, and this model has none",
                hint=f"choose another method, such as {FIRST}",
            )

    def noise(
        self, chosen: Mapping[str, TensorRange], best: Sequence[float] | None
    ) -> list[float] | None:
        """Noise relative to the signal, summed over the outputs and over the probes so far.

        Args:
            chosen: ranges.
            best: the same of the best choice so far; None is returned for what is not better.
        """
        networks, _ = self._stage.networks(replace(self._ranges, tensors=chosen))
        run = runner(with_networks(self._stage.bundle, networks), self._stage.fallbacks)
        total, sums = 0.0, list[float]()
        for probe, wanted in zip(self._stage.probes, self._exact, strict=True):
            outputs = run(probe)
            for name, signal in self._signal.items():
                noise = Noise()
                noise.add(wanted[name], outputs[name])
                total += noise.error / signal
            sums.append(total)
            if best is not None and self._is_behind(sums, best):
                return None
        return sums

    def _is_behind(self, sums: Sequence[float], best: Sequence[float]) -> bool:
        """Whether a choice is beaten, or so far behind that it is not going to catch up."""
        count = len(sums)
        slack = LEAD / count if count < len(best) else 0.0
        return sums[-1] >= min(best[count - 1] * (1 + slack), best[-1])


def _floats(outputs: Group) -> Group:
    return {name: array for name, array in outputs.items() if array.dtype.kind == "f"}


def _groups(stage: Quantization) -> Iterator[list[str]]:
    """Names of tensors that get one method, since they have one scale; in order of the network."""
    many = len(stage.sites) > 1
    for network in stage.bundle.networks:
        tensors = stage.sites[network.name].tensors
        together = {
            tensor: group
            for group in share(network, tensors, dense=stage.dense)
            for tensor in group
        }
        done: set[Tensor] = set()
        for tensor in tensors:
            if tensor in done:
                continue
            group = together.get(tensor, {tensor})
            done |= group
            yield [key(network.name, t.name, many=many) for t in tensors if t in group]


def _is_same(one: TensorRange, other: TensorRange) -> bool:
    return abs(one.amax - other.amax) <= SAME * other.amax
