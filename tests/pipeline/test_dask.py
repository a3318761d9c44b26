# SPDX-License-Identifier: Apache-2.0
"""Calibration on a cluster of two workers: to the bit what one process finds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import edge_trt
from tests.pipeline.models import Hybrid, batch, net

distributed: Any = pytest.importorskip("distributed")

RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((100, 3, 8, 8)).astype(np.float32)
ROWS = RNG.standard_normal((100, 8)).astype(np.float32)

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
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


def test_data_that_fails_is_blamed_where_it_fails(address: str) -> None:
    def rows() -> Iterator[np.ndarray]:
        yield IMAGES[:8]
        raise KeyError("image_9")

    with pytest.raises(edge_trt.EdgeTrtError, match="batch 1 of the calibration data could not"):
        edge_trt.calibrate(net(), (batch(3, 8, 8),), dask=address, calibration=rows)


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
