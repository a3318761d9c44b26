# SPDX-License-Identifier: Apache-2.0
"""Finds out which layers have to stay out of int8 so that the user's own metric holds.

First each layer alone is put into int8, and the noise that it leaves at the outputs is measured.
At eight bits such noises nearly add up, so that the layers in order of their noise are the order
to leave out. Then the metric itself decides how many: none, one, two, four ... until it holds, and
between the last two numbers by halving.

Everything measured is kept in a file at once. An interrupted search goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_trt.network.graph import Network
from edge_trt.precision.damage import Noise
from edge_trt.precision.exceptions import exact_name
from edge_trt.precision.metric import Metric, RunFeed, evaluate
from edge_trt.precision.observed import runner, usual_shapes, with_networks
from edge_trt.precision.quantization import Quantization
from edge_trt.precision.work import products
from edge_trt_calibration import CalibrationError, Ranges
from edge_trt_calibration.ranges import write_whole

if TYPE_CHECKING:
    from edge_trt.bundle.bundle import Bundle

INT8_SPEED = 2.0
"""Products of int8 for one of fp16 in the same time, on every Orin (NVIDIA's data sheets)."""

Step = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """One choice of layers, and what the metric says of it.

    Attributes:
        excluded: layers that are not in int8.
        layers: how many are.
        metric: what the user's function returned.
        work: estimated time of all products, where 1 is all of them in fp16.
    """

    excluded: tuple[str, ...]
    layers: int
    metric: float
    work: float


@dataclass(slots=True)
class Record:
    """What was measured, in a file.

    Attributes:
        path: the file.
        belongs: what it was measured of; a file of anything else is not read.
    """

    path: Path
    belongs: str
    sensitivity: dict[str, float] = field(default_factory=dict[str, float])
    metrics: dict[str, float] = field(default_factory=dict[str, float])

    @classmethod
    def open(cls, path: Path, belongs: str) -> Record:
        """The record of an interrupted search, or an empty one."""
        record = cls(path, belongs)
        try:
            found: Any = json.loads(path.read_text())
            if found["belongs"] == belongs:
                record.sensitivity = {str(k): float(v) for k, v in found["sensitivity"].items()}
                record.metrics = {str(k): float(v) for k, v in found["metrics"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # none, or no record: everything is measured again
        return record

    def save(self) -> None:
        """Writes the file whole."""
        values = {
            "belongs": self.belongs,
            "sensitivity": self.sensitivity,
            "metrics": self.metrics,
        }
        write_whole(self.path, json.dumps(values, indent=1) + "\n")


class Tuner:
    """The search over one model.

    Args:
        stage: the model in fp32, with probes.
        ranges: its ranges.
        metric: the user's measure; larger is better.
        record: what was measured before.
    """

    def __init__(self, stage: Quantization, ranges: Ranges, metric: Metric, record: Record) -> None:
        self.stage = stage
        self.ranges = ranges
        self.metric = metric
        self._record = record
        self._products = _products_of(stage)
        self.layers = [
            exact_name(network, node)
            for network in stage.bundle.networks
            for node in stage.sites[network.name].weights
        ]
        if not self.layers:
            raise _nothing_to_tune(stage)
        if not stage.probes:
            raise CalibrationError("tuning needs sample data", hint="add --calibration DATA")

    def quantized(self, excluded: Sequence[str]) -> Bundle:
        """The model without these layers in int8."""
        networks, _ = self.stage.without(excluded).networks(self.ranges)
        return with_networks(self.stage.bundle, networks)

    def order(self, step: Step) -> list[str]:
        """Layers by the noise that they leave at the outputs, the worst first."""
        exact = self._run(self.stage.bundle)
        wanted = [exact(probe) for probe in self.stage.probes]
        for i, layer in enumerate(self.layers):
            step(i / len(self.layers), f"{i} of {len(self.layers)} layers")
            if layer in self._record.sensitivity:
                continue
            alone = self.quantized([name for name in self.layers if name != layer])
            run, noise = self._run(alone), Noise()
            for probe, outputs in zip(self.stage.probes, wanted, strict=True):
                for name, array in run(probe).items():
                    if array.dtype.kind == "f":
                        noise.add(outputs[name], array)
            self._record.sensitivity[layer] = noise.error / noise.signal if noise.signal else 0.0
            self._record.save()
        noise_of = self._record.sensitivity
        return sorted(self.layers, key=lambda layer: (-noise_of[layer], layer))

    def baseline(self) -> float:
        """What the metric says of the model in fp32."""
        return self._judged("fp32", lambda: self.stage.bundle)

    def trial(self, excluded: Sequence[str]) -> Trial:
        """Judges one choice."""
        chosen = tuple(sorted(excluded))
        metric = self._judged(json.dumps(chosen), lambda: self.quantized(chosen))
        total = sum(self._products.values()) or 1
        int8 = sum(self._products[n] for n in self.layers if n not in chosen)
        work = (total - int8 + int8 / INT8_SPEED) / total
        return Trial(chosen, len(self.layers) - len(chosen), metric, work)

    def search(
        self, drop: float, step: Step, improved: Callable[[Trial], None]
    ) -> tuple[float, list[Trial]]:
        """Finds the smallest number of layers to leave out.

        Args:
            drop: how much smaller than that of fp32 the metric may be.
            step: told how far it is.
            improved: told of every choice that is better than those before it: the first ones that
                come closer, then those that hold with more layers in int8.

        Returns:
            The metric of fp32, and all choices that were judged.
        """
        order = self.order(lambda fraction, note: step(fraction * 0.5, note))
        base = self.baseline()
        trials: dict[int, Trial] = {}
        best: Trial | None = None

        def holds(count: int) -> bool:
            nonlocal best
            step(0.5 + 0.5 * len(trials) / 12, f"metric without {count} layers")
            trial = trials[count] = self.trial(order[:count])
            if best is None or _better(trial, best, base - drop):
                best = trial
                improved(trial)
            return trial.metric >= base - drop

        low, high = -1, 0
        while high < len(order) and not holds(high):
            low, high = high, min(max(2 * high, 1), len(order))
        if high == len(order) and high not in trials:
            holds(high)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if holds(middle) else (middle, high)
        return base, sorted(trials.values(), key=lambda trial: -trial.layers)

    def _judged(self, name: str, make: Callable[[], Bundle]) -> float:
        if name not in self._record.metrics:
            value = evaluate(self.metric, self._run(make()), self.stage.inputs)
            self._record.metrics[name] = value
            self._record.save()
        return self._record.metrics[name]

    def _run(self, bundle: Bundle) -> RunFeed:
        return runner(bundle, self.stage.fallbacks)


def _better(new: Trial, old: Trial, least: float) -> bool:
    """A choice that holds beats one that does not; then more int8, otherwise a larger metric."""
    held = (new.metric >= least, old.metric >= least)
    if held[0] != held[1]:
        return held[0]
    return new.layers > old.layers if held[0] else new.metric > old.metric


def _products_of(stage: Quantization) -> dict[str, int]:
    shapes = usual_shapes(stage.bundle)

    def named(network: Network) -> dict[str, int]:
        found = products(network, shapes)
        return {exact_name(network, n): found[n.name] for n in network.nodes if n.name in found}

    return {name: n for network in stage.bundle.networks for name, n in named(network).items()}


def _nothing_to_tune(stage: Quantization) -> CalibrationError:
    if why := stage.why_none():
        return CalibrationError(f"no layer of this model can be in int8: {why}", hint="use fp16")
    return CalibrationError(
        "the model itself quantizes every layer that can be in int8",
        hint="edge_trt build --precision int8 compiles it as it is",
    )
