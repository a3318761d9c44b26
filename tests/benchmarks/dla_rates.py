# SPDX-License-Identifier: Apache-2.0
"""Fits the rates of the cost model to published throughput, and writes what each row is off by.

python -m tests.benchmarks.dla_rates     writes edge_trt/placement/rates.json

The DLA is fitted on three of the six published models and checked on the other three. The GPU is
fitted on AGX Orin, and checked on Orin NX and with both models on all accelerators at once.
"""

from __future__ import annotations

import json
from functools import cache
from math import log
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import nnls

from edge_trt.placement.cost import (
    FULL_BANDWIDTH,
    Machine,
    Rates,
    dla_terms,
    dla_total,
    gpu_terms,
    gpu_total,
)
from edge_trt.placement.graph import Graph
from edge_trt_jetson import boards, mode_caps

FOLDER = Path(__file__).parents[1] / "data" / "published"
RATES = Path(__file__).parents[2] / "edge_trt" / "placement" / "rates.json"

DLA_FITTED = ("resnet34-backbone", "resnet50", "ssd-mobilenet-v1")
GPU_FITTED = (
    ("gpu-latency", "resnet50", "agx-orin-64gb", "mlperf-3.1"),
    ("offline", "resnet50", "agx-orin-64gb", "mlperf-3.1"),
    ("gpu-latency", "retinanet-resnext50", "agx-orin-64gb", "mlperf-3.1"),
)
DLA_MACS, GPU_MACS = 8192, 2048
BLOCK = 64
GPU_BYTES = 2.0
HOP_SECONDS, HOP_BYTES = 100e-6, 50e9
OFFLINE_DLA_BATCH = {"resnet50": 2, "retinanet-resnext50": 1}


class Row(NamedTuple):
    """One published number: images/s, or milliseconds."""

    model: str
    board: str
    metric: str
    batch: int
    source: str
    mode: str
    value: float


@cache
def results() -> dict[str, Any]:
    """The published tables."""
    return json.loads(FOLDER.joinpath("results.json").read_text())


@cache
def rows() -> tuple[Row, ...]:
    """Every published number."""
    return tuple(
        Row(*row, mode, value) for *row, modes in results()["rows"] for mode, value in modes.items()
    )


@cache
def graph_of(model: str) -> Graph:
    """The layers of a published model, for one image."""
    return Graph.from_dict(json.loads(FOLDER.joinpath(f"{model}.json").read_text()))


def machine_of(row: Row, rates: Rates) -> Machine:
    """The board of a row, in its mode."""
    board, caps = boards.find(row.board), mode_caps.caps_of(row.board)
    assert board is not None
    assert caps is not None
    return Machine(board, caps.modes[row.mode], caps.idle_watts, rates)


def predict(row: Row, rates: Rates) -> float:
    """What the model says, in the unit of the row."""
    machine = machine_of(row, rates)
    graph = graph_of(row.model).with_batch(row.batch)
    int8 = ["int8"] * len(graph.works)
    if row.metric == "gpu-latency":
        return 1e3 * gpu_total(machine, graph, int8)
    if row.metric in ("dla-latency", "dla-fp16-latency"):
        precisions = int8 if row.metric == "dla-latency" else ["fp16"] * len(int8)
        return 1e3 * dla_total(machine, graph, precisions)
    if row.metric == "dla-throughput":
        return 2 * row.batch / dla_total(machine, graph, int8)
    batch = OFFLINE_DLA_BATCH[row.model]
    beside = row._replace(metric="dla-throughput", batch=batch)
    return row.batch / gpu_total(machine, graph, int8) + predict(beside, rates)


def fit_dla() -> tuple[float, float]:
    """Bytes per second and cycles per layer, the array being in full use."""
    terms, rest = [], []
    for row in rows():
        if row.metric != "dla-throughput" or row.model not in DLA_FITTED:
            continue
        machine = machine_of(row, _PLAIN)
        graph = graph_of(row.model).with_batch(row.batch)
        found = np.array([dla_terms(work, BLOCK) for work in graph.works], float).sum(0)
        clock, seconds = machine.mode.dla_mhz * 1e6, 2 * row.batch / row.value
        terms.append([found[1] / machine.memory / seconds, found[2] / clock / seconds])
        rest.append(1 - found[0] / (DLA_MACS * clock) / seconds)
    (per_byte, cycles), _ = nnls(np.array(terms), np.array(rest))
    return 1 / per_byte, cycles


def _fits_gpu(row: Row) -> bool:
    return (row.metric, row.model, row.board, row.source) in GPU_FITTED


def fit_gpu(dla: Rates) -> tuple[float, float]:
    """Share of the peak, and cycles per kernel."""
    terms, rest = [], []
    for row in rows():
        if not _fits_gpu(row):
            continue
        machine = machine_of(row, dla)
        graph = graph_of(row.model).with_batch(row.batch)
        found = np.array([gpu_terms(work) for work in graph.works], float).sum(0)
        clock = machine.mode.gpu_mhz * 1e6
        seconds = row.value / 1e3
        if row.metric == "offline":
            batch = OFFLINE_DLA_BATCH[row.model]
            beside = row._replace(metric="dla-throughput", batch=batch)
            seconds = row.batch / (row.value - predict(beside, dla))
        peak = GPU_MACS * machine.mode.gpu_sms * clock
        each = (found[0] / peak, found[1] / (FULL_BANDWIDTH * 1e9 * machine.memory))
        terms.append([each[0] / seconds, found[2] / clock / seconds])
        rest.append(1 - each[1] / GPU_BYTES / seconds)
    (macs, cycles), _ = nnls(np.array(terms), np.array(rest))
    return 1 / macs, cycles


def fit_power() -> tuple[float, float, float, float]:
    """Watts of GPU and core above idle, and the exponents of their clocks."""
    published = results()["perf_per_watt"]
    caps = mode_caps.caps_of("agx-orin-64gb")
    assert caps is not None
    modes = [caps.modes[name] for name in published["modes"]]
    ratios = np.array([*published["rows"].values()])
    level = np.log(ratios) - np.log(ratios[:, :1])
    terms = [[log(m.gpu_mhz / 1300.5), -log(m.dla_mhz / 1600)] for m in modes]
    exponents, *_ = np.linalg.lstsq(np.array(terms), level.mean(0), rcond=None)
    field = results()["module_watts"]
    per_second = 1e3 / next(r.value for r in rows() if r.metric == "dla-latency")
    both = 2 * per_second * field["scaling"] / field["both_per_watt"]
    return (
        field["gpu"] - caps.idle_watts,
        float(exponents[0]),
        (both - caps.idle_watts) / 2,
        float(exponents[1]),
    )


# Rates before the fit: those that are fitted are 1.
_PLAIN = Rates(
    DLA_MACS, BLOCK, 1.0, 1.0, 1.0, GPU_MACS, 1.0, 1.0, 1.0, HOP_SECONDS, HOP_BYTES, 1, 1, 1, 1
)


def fp16_factor(rates: Rates) -> float:
    """How much slower products are in fp16, by the one measurement there is."""
    row = next(r for r in rows() if r.metric == "dla-fp16-latency")
    machine, graph = machine_of(row, rates), graph_of(row.model)
    precisions = ["fp16"] * len(graph.works)
    without = dla_total(machine, graph, precisions)
    macs = sum(dla_terms(work, BLOCK)[0] for work in graph.works)
    product = macs / (DLA_MACS * machine.mode.dla_mhz * 1e6)
    return 1 + (row.value / 1e3 - without) / product


def fitted() -> dict[str, list[Any]]:
    """Every rate with where it comes from, rounded to three digits."""
    dla_bytes, dla_cycles = fit_dla()
    dla = _plain_with(dla_bytes=dla_bytes, dla_cycles=dla_cycles)
    share, gpu_cycles = fit_gpu(dla)
    watts = fit_power()
    models = ", ".join(DLA_FITTED)
    on_dla = f"fitted to two DLA cores of AGX Orin 64GB on {models}"
    on_gpu = "fitted to ResNet-50 and RetinaNet on AGX Orin 64GB (MLPerf 3.1)"
    energy = "fitted to published images per joule of DLA against GPU in four power modes"
    field = "one user's watts of the module (AGX Orin 64GB, MAXN, ResNet-50) less those of idle"
    hop = "assumed: 50 to 200 us are reported; measure it on the board"
    values: dict[str, tuple[float, str]] = {
        "dla_macs": (DLA_MACS, "published TOPS by clock, dense"),
        "dla_block": (BLOCK, "assumed: 32 to 128 fit about as well"),
        "dla_bytes": (dla_bytes, on_dla),
        "dla_cycles": (dla_cycles, on_dla),
        "dla_fp16": (fp16_factor(dla), "one user's ResNet-50 in fp16 on AGX Orin 64GB"),
        "gpu_macs": (GPU_MACS, "published TOPS by SM and clock, dense"),
        "gpu_share": (share, on_gpu),
        "gpu_bytes": (GPU_BYTES, "assumed: half of the bytes stay in the cache"),
        "gpu_cycles": (gpu_cycles, on_gpu),
        "hop_seconds": (HOP_SECONDS, hop),
        "hop_bytes": (HOP_BYTES, "assumed: a quarter of the memory's bandwidth"),
        "gpu_watts": (watts[0], field),
        "gpu_exponent": (watts[1], energy),
        "dla_watts": (watts[2], field),
        "dla_exponent": (watts[3], energy),
    }
    whole = {"dla_macs", "dla_block", "gpu_macs"}
    return {
        name: [value if name in whole else float(f"{value:.3g}"), source]
        for name, (value, source) in values.items()
    }


def _plain_with(**values: float) -> Rates:
    return Rates(**{n: values.get(n, getattr(_PLAIN, n)) for n in Rates.__slots__})


def was_fitted(row: Row) -> bool:
    """Whether a row had a part in the fit."""
    if row.metric == "dla-throughput":
        return row.model in DLA_FITTED
    return _fits_gpu(row) or row.metric == "dla-fp16-latency"


def checked(rates: Rates) -> list[dict[str, Any]]:
    """Every published number beside the prediction."""
    return [
        {
            **row._asdict(),
            "predicted": float(f"{predict(row, rates):.4g}"),
            "fitted": was_fitted(row),
        }
        for row in rows()
    ]


def main() -> None:
    """Writes the rates, and prints the errors."""
    found = fitted()
    rates = Rates(**{name: entry[0] for name, entry in found.items()})
    table = checked(rates)
    lines = ",\n  ".join(f"{json.dumps(n)}: {json.dumps(e)}" for n, e in found.items())
    rest = ",\n  ".join(map(json.dumps, table))
    sources = json.dumps(results()["sources"], indent=2)
    RATES.write_text(
        f'{{\n"rates": {{\n  {lines}\n}},\n"sources": {sources},\n"checked": [\n  {rest}\n]\n}}\n'
    )
    for row in table:
        error = row["predicted"] / row["value"] - 1
        print(f"{row['model']:22} {row['board']:14} {row['mode']:5} {row['metric']:17}"
              f"{row['source']:13}{row['value']:9} {row['predicted']:9} {error:+.1%}"
              f"{' fitted' if row['fitted'] else ''}")  # fmt: skip


if __name__ == "__main__":
    main()
