# SPDX-License-Identifier: Apache-2.0
"""Tuning: the least that has to stay out of int8, found again after an interruption."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edge_trt
from edge_trt.network.layers import Quantize
from edge_trt_calibration import Ranges
from edge_trt_runtime import run_self_test
from tests.pipeline.models import Hybrid, batch

RNG = np.random.default_rng(0)
DATA = RNG.standard_normal((64, 16)).astype(np.float32)

pytestmark = pytest.mark.filterwarnings("ignore:.*samples set the ranges")


class Uneven(nn.Module):
    """Four layers, of which the third has inputs that int8 can't hold: one is 1000 times larger."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.layers[1](torch.tanh(self.layers[0](x))))
        x = torch.cat([x[:, :1] * 1000, x[:, 1:]], 1)
        third = self.layers[2].weight
        x = nn.functional.linear(x, torch.cat([third[:, :1] / 1000, third[:, 1:]], 1))
        return self.layers[3](torch.tanh(x))


MODEL = Uneven().eval()
INPUTS = (batch(16),)
with torch.inference_mode():
    WANTED = MODEL(torch.from_numpy(DATA)).numpy()


def closeness(run: Any) -> float:
    """Signal to noise against the model itself, in dB; 100 at most."""
    error = float(np.square(run(DATA) - WANTED).sum())
    return min(100.0, 10 * float(np.log10(np.square(WANTED).sum() / max(error, 1e-12))))


def _tune(path: Path, drop: float, **options: Any) -> Any:
    given = {"calibration": DATA, "calibration_method": "max", "metric": closeness} | options
    return edge_trt.tune(MODEL, INPUTS, path, drop=drop, **given)


def test_the_layer_that_hurts_is_left_out(tmp_path: Path) -> None:
    found = _tune(tmp_path / "best.edge", drop=70)
    assert found.holds
    assert found.baseline == 100
    assert found.best.layers == 3
    assert len(found.best.excluded) == 1
    everything = next(trial for trial in found.trials if trial.layers == 4)
    assert everything.metric < 30 <= found.best.metric
    assert everything.work == pytest.approx(0.5)
    assert found.best.work == pytest.approx(0.625)
    bundle = edge_trt.load(tmp_path / "best.edge")
    assert len(bundle.quantization["noise"]) == 3
    (kept,) = bundle.kept
    assert kept["reason"] == "left out so that the metric holds"
    assert sum(isinstance(n.layer, Quantize) for n in bundle.networks[0].nodes) == 3
    assert all(result.passed for result in run_self_test(bundle.path))


def test_the_choice_can_be_built_again(tmp_path: Path) -> None:
    found = _tune(tmp_path / "best.edge", drop=70)
    tuned = edge_trt.load(tmp_path / "best.edge")
    again = edge_trt.compile(
        MODEL, INPUTS, precision="int8", calibration=DATA, calibration_method="max",
        int8_except=found.best.excluded,
    )  # fmt: skip
    assert str(again.networks[0]) == str(tuned.networks[0])


class Twice(nn.Module):
    """Two blocks with a layer of one name each, and a module that is called as a layer is."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
        self.last = nn.Linear(5, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.fft.rfft(self.linear(x)).abs())


def test_every_name_that_tune_gives_is_that_of_one_layer() -> None:
    model, rows = Twice().eval(), DATA[:, :8]
    given = {"precision": "int8", "calibration": rows}
    whole = edge_trt.compile(model, (batch(8),), **given)
    names = [layer["layer"] for layer in whole.quantization["noise"]]
    assert len(whole.networks) == 2
    assert len(names) == len(set(names)) == 3
    for name in names:
        bundle = edge_trt.compile(model, (batch(8),), int8_except=name, **given)
        left = [layer["layer"] for layer in bundle.quantization["noise"]]
        assert left == [other for other in names if other != name]


def test_nothing_is_left_out_where_nothing_has_to_be(tmp_path: Path) -> None:
    found = _tune(tmp_path / "best.edge", drop=99)
    assert found.holds
    assert [trial.layers for trial in found.trials] == [4]


def test_everything_is_left_out_where_it_has_to_be(tmp_path: Path) -> None:
    found = _tune(tmp_path / "best.edge", drop=0)
    assert found.holds
    assert found.best.layers == 0
    assert found.best.metric == found.baseline


def test_a_hybrid_is_tuned_through_its_fallback(tmp_path: Path) -> None:
    rows = DATA[:, :8]
    model = Hybrid().eval()
    with torch.inference_mode():
        wanted = model(torch.from_numpy(rows)).numpy()

    def close(run: Any) -> float:
        return -float(np.abs(run(rows) - wanted).max() / np.abs(wanted).max())

    found = edge_trt.tune(
        model, (batch(8),), tmp_path / "best.edge", drop=1e-5, calibration=rows, metric=close
    )
    assert found.holds
    assert len(found.trials) > 1  # each better one has made an account of itself
    bundle = edge_trt.load(tmp_path / "best.edge")
    assert len(bundle.quantization["noise"]) == found.best.layers
    assert bundle.quantization["metric"]["name"] == "close"


def test_what_never_holds_leaves_the_closest(tmp_path: Path) -> None:
    calls: list[int] = []

    def worse(run: Any) -> float:
        calls.append(0)
        return 100.0 if len(calls) == 1 else closeness(run) - 50

    found = _tune(tmp_path / "best.edge", drop=1, metric=worse)
    assert not found.holds
    assert found.best.metric == max(trial.metric for trial in found.trials)
    assert edge_trt.load(tmp_path / "best.edge").quantization["layers_int8"] == found.best.layers


class Calls:
    """How often a metric was called; the user stops it at the n-th call."""

    def __init__(self, stop: int) -> None:
        self.count = 0
        self._stop = stop

    def add(self) -> None:
        self.count += 1
        if self.count == self._stop:
            raise KeyboardInterrupt


class Counted:
    """The metric, the same one whoever counts its calls."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def __call__(self, run: Any) -> float:
        self._calls.add()
        return closeness(run)


def test_an_interrupted_search_goes_on(tmp_path: Path) -> None:
    whole, rest = Calls(0), Calls(0)
    wanted = _tune(tmp_path / "whole.edge", 70, metric=Counted(whole))
    with pytest.raises(KeyboardInterrupt):
        _tune(tmp_path / "best.edge", 70, metric=Counted(Calls(3)))
    # fp32 and all layers in int8 were judged, and that is saved.
    assert edge_trt.load(tmp_path / "best.edge").quantization["layers_int8"] == 4
    found = _tune(tmp_path / "best.edge", 70, metric=Counted(rest))
    assert found == wanted
    assert rest.count == whole.count - 2


def test_measurements_of_another_search_are_not_used(tmp_path: Path) -> None:
    _tune(tmp_path / "best.edge", 70)
    path = tmp_path / "best.edge.tune.json"
    first = json.loads(path.read_text())
    path.write_text(json.dumps(first | {"metrics": dict.fromkeys(first["metrics"], 5.0)}))
    assert _tune(tmp_path / "best.edge", 70).baseline == 5
    found = _tune(tmp_path / "best.edge", 70, calibration=DATA[:60])
    assert found.baseline == 100
    for damaged in ("", "[]", "{}"):
        path.write_text(damaged)
        assert _tune(tmp_path / "best.edge", 99).baseline == 100


class Rows:
    """Batches, of which it is counted how many were read."""

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[np.ndarray]:
        for row in np.split(self._rows, 32):
            READ.append(0)
            yield row


READ: list[int] = []


def _rows() -> Iterator[np.ndarray]:
    return iter(Rows(DATA))


def _metric_that_fails(run: Any) -> float:
    raise KeyError("label")


@pytest.mark.parametrize("data", [Rows(DATA), _rows], ids=["object", "function"])
def test_going_on_does_not_calibrate_again(data: Any, tmp_path: Path) -> None:
    READ.clear()
    path = tmp_path / "best.edge"
    with pytest.raises(edge_trt.EdgeTrtError, match="the metric _metric_that_fails failed"):
        _tune(path, 99, calibration=data, metric=_metric_that_fails)
    assert len(READ) > 32  # the probes, and one pass over all
    READ.clear()
    found = _tune(path, 99, calibration=data)
    assert found.holds
    assert len(READ) == 16
    kept = Ranges.load(tmp_path / "best.edge.tune.ranges.json")
    assert edge_trt.load(path).ranges.tensors == kept.tensors
    for other in ({"samples": 40}, {"calibration": Rows(DATA * 2)}, {"int8_except": "first"}):
        READ.clear()
        _tune(path, 99, **({"calibration": data} | other))
        assert len(READ) > 16, other


def test_a_generator_is_read_once(tmp_path: Path) -> None:
    assert _tune(tmp_path / "best.edge", 99, calibration=_rows()).holds


@pytest.mark.parametrize(
    ("options", "drop", "message"),
    [
        ({"metric": None}, 1, "tuning needs a metric: add --metric"),
        ({}, -1, "a drop of -1 can't be held"),
        ({}, float("nan"), "a drop of nan can't be held"),
        ({"metric": lambda run: None}, 1, "returned None: it has to return a finite number"),
        ({"int8_except": "matrixmultiply"}, 1, "no layer of this model can be in int8"),
    ],
)
def test_what_can_not_be_tuned_is_refused(
    options: dict[str, Any], drop: float, message: str, tmp_path: Path
) -> None:
    with pytest.raises(edge_trt.EdgeTrtError, match=message):
        _tune(tmp_path / "best.edge", drop, **options)
    assert not (tmp_path / "best.edge").exists()
