# SPDX-License-Identifier: Apache-2.0
"""Calibration on a cluster of two workers: to the bit what one process finds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edge_trt
from edge_trt.precision.given import read_ranges
from tests.pipeline.models import Hybrid, batch, net

distributed: Any = pytest.importorskip("distributed")

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((100, 3, 8, 8)).astype(np.float32)
ROWS = RNG.standard_normal((100, 8)).astype(np.float32)

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*these are the ranges of the first"),
    pytest.mark.filterwarnings("ignore:.*samples? set the ranges"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
        silence_logs=50,
    )  # fmt: skip
    with cluster:
        yield cluster.scheduler_address


@pytest.mark.parametrize("method", ["mse", "max", "entropy"])
def test_two_workers_find_what_one_process_finds(address: str, method: str) -> None:
    model = net()
    given: dict[str, Any] = {"calibration": IMAGES, "calibration_method": method}
    wanted = edge_trt.calibrate(model, (batch(3, 8, 8),), **given)
    found = edge_trt.calibrate(model, (batch(3, 8, 8),), dask=address, **given)
    assert found == wanted
    assert found.source.samples == 100


def test_fallbacks_and_generators_go_there_too(address: str) -> None:
    model = Hybrid().eval()

    def rows() -> Iterator[np.ndarray]:
        yield from np.split(ROWS, 20)

    wanted = edge_trt.calibrate(model, (batch(8),), calibration=rows)
    assert edge_trt.calibrate(model, (batch(8),), dask=address, calibration=rows()) == wanted


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"calibration": []}, "EdgeTrtError", "the calibration data is empty"),
        ({"calibration": IMAGES[:, :2]}, "EdgeTrtError", "image has shape"),
        ({"calibration_method": "entropy2"}, "OptionError", "entropy2 reads the data a second"),
        ({"calibration_method": "best"}, "OptionError", "best runs the quantized model"),
    ],
)
def test_bad_data_is_refused(
    address: str, options: dict[str, Any], error: str, message: str
) -> None:
    given = {"calibration": IMAGES} | options
    with pytest.raises(getattr(edge_trt, error), match=message):
        edge_trt.calibrate(net(), (batch(3, 8, 8),), dask=address, **given)


def test_a_batch_that_a_worker_can_not_run_is_named(address: str) -> None:
    table = torch.nn.Embedding(10, 8)
    model = torch.nn.Sequential(table, torch.nn.Linear(8, 2)).eval()
    rows = [np.ones((4,), np.int64), np.full((4,), 11)]
    inputs = (edge_trt.Input(("b",), dtype="int64", min=1, opt=2, max=8),)
    with pytest.raises(edge_trt.EdgeTrtError, match=r"the model can't run batch 1: .*look at its"):
        edge_trt.calibrate(model, inputs, dask=address, calibration=rows)


def test_data_that_fails_is_blamed_and_what_was_before_is_kept(
    address: str, tmp_path: Path
) -> None:
    def rows() -> Iterator[np.ndarray]:
        yield from np.split(IMAGES[:90], 9)
        raise KeyError("image_91")

    path, given = tmp_path / "r.json", (net(), (batch(3, 8, 8),))
    with pytest.raises(edge_trt.EdgeTrtError, match="batch 9 of the calibration data") as caught:
        edge_trt.calibrate(*given, dask=address, calibration=rows, keep=path)
    wanted = edge_trt.calibrate(*given, calibration=IMAGES[:90])
    assert read_ranges(str(path)) == vars(caught.value)["ranges"] == wanted


def test_an_interrupted_pass_keeps_what_was_counted(address: str, tmp_path: Path) -> None:
    def presses(stage: str, fraction: float, note: str) -> None:
        if fraction > 0 and stage == "calibration":
            raise KeyboardInterrupt

    def rows() -> Iterator[np.ndarray]:
        yield from IMAGES[:, None]

    path, given = tmp_path / "r.json", (net(), (batch(3, 8, 8),))
    with pytest.raises(KeyboardInterrupt):
        edge_trt.calibrate(*given, dask=address, calibration=rows, keep=path, progress=presses)
    found = read_ranges(str(path))
    assert 8 <= found.source.samples < 100
    counted = IMAGES[: found.source.samples]
    assert found == edge_trt.calibrate(*given, calibration=counted)
    # The cluster is as good as before.
    edge_trt.calibrate(*given, dask=address, calibration=IMAGES, keep=path)
    assert read_ranges(str(path)).source.samples == 100


def test_remarks_on_the_data_are_made_there_too(address: str) -> None:
    with pytest.warns(edge_trt.EdgeTrtWarning, match="7 samples set the ranges: use at least 100"):
        edge_trt.calibrate(net(), (batch(3, 8, 8),), dask=address, calibration=IMAGES[:7])


def test_a_worker_that_dies_is_one_sentence(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_trt.precision.cluster._packed", lambda *_: {"x": b""})
    with pytest.raises(edge_trt.EdgeTrtError, match="worker of the cluster failed: KeyError"):
        edge_trt.calibrate(net(), (batch(3, 8, 8),), dask=address, calibration=IMAGES)


def test_an_address_without_a_scheduler_is_refused() -> None:
    with pytest.raises(edge_trt.OptionError, match="no Dask scheduler answers at 'nowhere'"):
        edge_trt.calibrate(net(), (batch(3, 8, 8),), dask="nowhere", calibration=IMAGES)


def test_without_dask_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(edge_trt.OptionError, match=r"pip install 'edge-trt\[dask\]'"):
        edge_trt.calibrate(net(), (batch(3, 8, 8),), dask="tcp://x:1", calibration=IMAGES)
