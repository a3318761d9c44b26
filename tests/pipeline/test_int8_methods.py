# SPDX-License-Identifier: Apache-2.0
"""Methods of int8 that do more than look at histograms: `best`, and weights that are clipped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edge_trt
from edge_trt.precision import best, int8
from tests.pipeline.models import batch, net
from tests.pipeline.test_int8 import DYNAMIC, RNG, _compile

pytestmark = pytest.mark.filterwarnings("ignore:.*samples? set the ranges.*")


def test_best_spends_little_on_what_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    quantized: list[int] = []
    make, scales = best.runner, int8.weight_scales

    def counted(*given: Any) -> Any:
        run = make(*given)
        return lambda feed: runs.append(0) or run(feed)

    def scaled(*given: Any) -> Any:
        quantized.append(0)
        return scales(*given)

    monkeypatch.setattr(best, "runner", counted)
    monkeypatch.setattr(int8, "weight_scales", scaled)
    rows = RNG.standard_normal((16, 8, 3, 8, 8)).astype(np.float32)
    rows[:, :, 0, 0, 0] *= 40  # which `entropy` and `percentile` clip
    edge_trt.calibrate(net(), DYNAMIC, calibration=list(rows), calibration_method="best")
    assert len(quantized) == 2  # once for each layer, not for each trial
    assert 2 * 16 < len(runs) < 4 * 16  # exact, all by `mse`, and the first probes of the others


def test_weights_may_be_clipped() -> None:
    torch.manual_seed(0)
    model = nn.Linear(1 << 15, 4).eval()
    nn.init.normal_(model.weight)  # so many that the largest few are worth clipping
    rows = RNG.standard_normal((2, 1 << 15)).astype(np.float32)
    lost: dict[str, float] = {}
    for method in ("max", "mse"):
        bundle = _compile(model, (batch(1 << 15),), calibration=rows, int8_weights=method)
        assert bundle.quantization["weights"] == method
        assert len(bundle.quantization["noise"]) == 1  # its twin was quantized in the same way
        found = {t.name: t.data for t in bundle.networks[0].constants()}
        (levels,) = (name for name, data in found.items() if data.dtype == np.int8)
        steps = found[levels.replace(".int8", ".scale")]
        weights = (found[levels] * steps[:, None]).reshape(4, -1)
        lost[method] = float(np.square(weights - model.weight.detach().numpy()).sum())
    assert lost["mse"] < 0.99 * lost["max"]
