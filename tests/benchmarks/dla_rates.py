# SPDX-License-Identifier: Apache-2.0
"""Fits the rates of the cost model to published throughput, and writes what each row is off by.

python -m tests.benchmarks.dla_rates     writes edge_trt/placement/rates.json

The DLA is fitted on three of the six published models and checked on the other three. The GPU is
fitted on AGX Orin, and checked on Orin NX and with both models on all accelerators at once.
"""

from __future__ import annotations

import json
from dataclasses import replace
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
    gpu_joules,
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
JOULES_BATCH = {"resnet50": (2, 256), "ssd-mobilenet-v1": (2, 128)}
JOULES_FITTED = ("resnet34-backbone", "retinanet-resnext50")
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


def joules_ratio(model: str, mode: str, rates: Rates) -> float:
    """Images per joule of two DLA cores against the GPU, at the published batches."""
    machine = machine_of(Row(model, "agx-orin-64gb", "", 1, "", mode, 0.0), rates)
    on_dla, on_gpu = JOULES_BATCH.get(model, (1, 8))
    graph = graph_of(model)
    int8: list[Any] = ["int8"] * len(graph.works)
    gpu = gpu_joules(machine, graph.with_batch(on_gpu), int8) / on_gpu
    dla = dla_total(machine, graph.with_batch(on_dla), int8) / on_dla
    return gpu / (dla * machine.dla_watts)


def fit_exponents() -> tuple[float, float]:
    """Of the clocks of GPU and DLA in the energy of an operation, by all models and modes."""
    published = results()["perf_per_watt"]
    caps = mode_caps.caps_of("agx-orin-64gb")
    assert caps is not None
    modes = [caps.modes[name] for name in published["modes"]]
    ratios = np.array([*published["rows"].values()])
    level = np.log(ratios) - np.log(ratios[:, :1])
    terms = [[log(m.gpu_mhz / 1300.5), -log(m.dla_mhz / 1600)] for m in modes]
    exponents, *_ = np.linalg.lstsq(np.array(terms), level.mean(0), rcond=None)
    return float(exponents[0]), float(exponents[1])


def fit_watts(rates: Rates) -> tuple[float, float, float]:
    """Watts of the GPU between products and in them, and of a core, above idle.

    One user's GPU and cores give the first and the last; that of products is such that the DLA is
    better than the GPU by as much as was published of two models.
    """
    caps = mode_caps.caps_of("agx-orin-64gb")
    assert caps is not None
    field = results()["module_watts"]
    per_second = 1e3 / next(r.value for r in rows() if r.metric == "dla-latency")
    both = 2 * per_second * field["scaling"] / field["both_per_watt"]
    core = (both - caps.idle_watts) / 2
    whole = field["gpu"] - caps.idle_watts  # of which some is in products
    row = next(r for r in rows() if r.source == "field" and r.metric == "gpu-latency")
    machine, graph = machine_of(row, rates), graph_of(row.model)
    share = sum(machine.gpu_product_seconds(w, "int8") for w in graph.works) / (row.value / 1e3)
    published = results()["perf_per_watt"]["rows"]

    def short(product: float) -> float:
        between = (whole - share * product) / (1 - share)
        trial = replace(rates, gpu_watts=between, gpu_product_watts=product, dla_watts=core)
        found = [joules_ratio(m, "MAXN", trial) / published[m][0] for m in JOULES_FITTED]
        return sum(map(log, found))

    low, high = whole, whole / share
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if short(middle) < 0 else (low, middle)
    return (whole - share * low) / (1 - share), low, core


# Rates before the fit: those that are fitted are 1.
_PLAIN = Rates(
    DLA_MACS, BLOCK, 1.0, 1.0, 1.0, GPU_MACS, 1.0, 1.0, 1.0, HOP_SECONDS, HOP_BYTES, 1, 1, 1, 1, 1
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
    exponents = fit_exponents()
    speed = _plain_with(
        dla_bytes=dla_bytes, dla_cycles=dla_cycles, gpu_share=share, gpu_bytes=GPU_BYTES,
        gpu_cycles=gpu_cycles, gpu_exponent=exponents[0], dla_exponent=exponents[1],
    )  # fmt: skip
    between, product, core = fit_watts(speed)
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
        "gpu_watts": (between, field),
        "gpu_product_watts": (product, f"fitted to images per joule on {', '.join(JOULES_FITTED)}"),
        "gpu_exponent": (exponents[0], energy),
        "dla_watts": (core, field),
        "dla_exponent": (exponents[1], energy),
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


def energy(rates: Rates) -> list[dict[str, Any]]:
    """Published images per joule, DLA against GPU, beside the estimate."""
    published = results()["perf_per_watt"]
    return [
        {
            "model": model,
            "mode": mode,
            "value": value,
            "predicted": float(f"{joules_ratio(model, mode, rates):.3g}"),
            "fitted": model in JOULES_FITTED and mode == "MAXN",
        }
        for model, values in published["rows"].items()
        for mode, value in zip(published["modes"], values, strict=True)
    ]


def main() -> None:
    """Writes the rates, and prints the errors."""
    found = fitted()
    rates = Rates(**{name: entry[0] for name, entry in found.items()})
    table = checked(rates)
    lines = ",\n  ".join(f"{json.dumps(n)}: {json.dumps(e)}" for n, e in found.items())
    rest = ",\n  ".join(map(json.dumps, table))
    joules = ",\n  ".join(map(json.dumps, energy(rates)))
    sources = json.dumps(results()["sources"], indent=2)
    RATES.write_text(
        f'{{\n"rates": {{\n  {lines}\n}},\n"sources": {sources},\n"checked": [\n  {rest}\n],\n'
        f'"energy": [\n  {joules}\n]\n}}\n'
    )
    for row in table:
        error = row["predicted"] / row["value"] - 1
        print(f"{row['model']:22} {row['board']:14} {row['mode']:5} {row['metric']:17}"
              f"{row['source']:13}{row['value']:9} {row['predicted']:9} {error:+.1%}"
              f"{' fitted' if row['fitted'] else ''}")  # fmt: skip
    for row in energy(rates):
        error = row["predicted"] / row["value"] - 1
        print(
            f"{row['model']:22} {row['mode']:5} {row['value']:5} {row['predicted']:5} {error:+.0%}"
        )


if __name__ == "__main__":
    main()
