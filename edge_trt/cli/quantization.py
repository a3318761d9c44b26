# SPDX-License-Identifier: Apache-2.0
"""What int8 did to a model, as tables: in short after a build, by tensor and layer on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_trt.cli.console import print_table
from edge_trt_calibration import Ranges
from edge_trt_runtime.describe import format_size

MODELS = ("eager", "fp32", "int8")


def print_summary(found: Mapping[str, Any]) -> None:
    """Metric, noise, size, latency and counts of a report's `quantization`."""
    rows: list[Sequence[Any]] = []
    if metric := found.get("metric"):
        rows.append((metric["name"], *(_number(metric.get(model)) for model in MODELS)))
    if latency := found.get("latency_ms"):
        rows.append(
            ("CPU latency, smallest batch", "", *(f"{latency[m]:.3g} ms" for m in MODELS[1:]))
        )
    sizes = found["weight_bytes"]
    rows.append(("weights", "", *(format_size(sizes[m]) for m in MODELS[1:])))
    print_table("int8 against the model", ["", "#eager", "#fp32", "#int8"], rows)
    for name, decibels in found.get("outputs_db", {}).items():
        print(f"Output {name}: {_decibels(decibels)} signal to quantization noise")
    print(
        f"{found['tensors']} tensors and {found['layers_int8']} layers in int8, "
        f"{found['layers_higher']} layers with weights or products left at a higher precision "
        f"(method {found['method']}, weights by {found.get('weights', 'max')}, "
        f"{found['samples']} samples)"
    )


def print_tensors(ranges: Ranges) -> None:
    """The range of every tensor."""
    rows = [
        (
            name,
            f"{chosen.amax:.5g}",
            chosen.method,
            "" if chosen.clipped is None else f"{chosen.clipped:.4%}",
            _decibels(chosen.sqnr) if name in ranges.histograms else "",
        )
        for name, chosen in ranges.tensors.items()
    ]
    print_table("Ranges", ["tensor", "#largest", "method", "#clipped", "#SQNR"], rows)


def print_layers(layers: Sequence[Mapping[str, Any]]) -> None:
    """Layers by the noise that they add, the worst first."""
    order = sorted(layers, key=lambda row: _worst_first(row["own_db"]))
    rows = [
        (
            row["layer"], row["kind"], row["module"], row["source"],
            _decibels(row["own_db"]), _decibels(row["total_db"]),
        )
        for row in order
    ]  # fmt: skip
    columns = ["layer", "kind", "module", "source", "#own noise", "#noise up to here"]
    print_table("Layers in int8, those that hurt most first", columns, rows)


def _worst_first(decibels: float | None) -> float:
    return float("inf") if decibels is None else decibels


def _decibels(value: float | None) -> str:
    return "exact" if value is None else f"{value:.1f} dB"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
