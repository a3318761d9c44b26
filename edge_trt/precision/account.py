# SPDX-License-Identifier: Apache-2.0
"""What a quantization gained and what it cost, as the report tells it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_trt.engines.onnx.observer import Group
from edge_trt.precision.exceptions import exact_name
from edge_trt.precision.metric import Metric, RunFeed, evaluate, name_of
from edge_trt.precision.observed import runner
from edge_trt.precision.range_names import key

if TYPE_CHECKING:
    from edge_trt.bundle.bundle import Bundle
    from edge_trt.precision.quantization import Quantization
    from edge_trt_calibration import InputSpec, Ranges

RUNS = 20
"""Runs of which the median is the latency."""


class Account:
    """Compares a model in fp32 with the same in int8.

    Args:
        stage: the model in fp32, with samples to compare on.
        ranges: what it was quantized with.
        quantized: the model in int8.
    """

    def __init__(self, stage: Quantization, ranges: Ranges, quantized: Bundle) -> None:
        self._stage = stage
        self._ranges = ranges
        self._quantized = quantized

    def as_dict(self, metric: Metric | None, eager: RunFeed | None) -> dict[str, Any]:
        """JSON values.

        Args:
            metric: the user's measure of all three models, or None.
            eager: the model itself, or None where there is no torch.
        """
        stage, sites = self._stage, self._stage.sites.values()
        found: dict[str, Any] = {
            "scheme": "dense" if stage.options.dense else "sparse",
            "method": self._ranges.method,
            "weights": stage.options.int8_weights,
            "samples": self._ranges.source.samples,
            "tensors": sum(len(s.tensors) for s in sites),
            "layers_int8": sum(len(s.weights) + len(s.elsewhere) for s in sites),
            "layers_higher": sum(len(s.reasons) for s in sites),
            "weight_bytes": {
                "fp32": _weight_bytes(stage.bundle),
                "int8": _weight_bytes(self._quantized),
            },
        }
        if not stage.probes and metric is None:
            return found
        runs = {
            "fp32": runner(stage.bundle, stage.fallbacks),
            "int8": runner(self._quantized, stage.fallbacks),
        }
        if stage.probes:
            feed = _smallest(stage.probes[0], stage.inputs)
            found["latency_ms"] = {n: _latency(run, feed) for n, run in runs.items()}
            found |= self._noise()
        if metric is not None:
            models = ({"eager": eager} if eager else {}) | runs
            values = {name: evaluate(metric, run, stage.inputs) for name, run in models.items()}
            found["metric"] = {"name": name_of(metric), **values}
        return found

    def _noise(self) -> dict[str, Any]:
        damage = self._stage.damage(self._ranges, self._quantized)
        many = len(self._stage.sites) > 1
        layers: list[dict[str, Any]] = []
        for network in self._stage.bundle.networks:
            for node in self._stage.sites[network.name].weights:
                name = key(network.name, node.outputs[0].name, many=many)
                layers.append(
                    {
                        "layer": exact_name(network, node),
                        "kind": node.layer.kind,
                        "module": node.origin.module,
                        "source": node.origin.source,
                        "own_db": damage.own[name].decibels,
                        "total_db": damage.total[name].decibels,
                    }
                )
        outputs = {name: noise.decibels for name, noise in damage.outputs.items()}
        return {"noise": layers, "outputs_db": outputs}


def _smallest(feed: Group, inputs: Sequence[InputSpec]) -> Group:
    """As few rows of a batch as the model takes."""
    least = {s.name: s.shape[0][0] for s in inputs if s.shape and isinstance(s.shape[0], tuple)}
    return {n: a[: max(1, least[n])] if n in least else a for n, a in feed.items()}


def _latency(run: Callable[[Group], Group], feed: Group) -> float:
    """Milliseconds: the median of some runs."""
    seconds: list[float] = []
    for _ in range(RUNS + 3):
        start = time.perf_counter()
        run(feed)
        seconds.append(time.perf_counter() - start)
    return round(statistics.median(seconds[3:]) * 1e3, 4)


def _weight_bytes(bundle: Bundle) -> int:
    constants = (t.data for network in bundle.networks for t in network.constants())
    return sum(np.asarray(data).nbytes for data in constants)
