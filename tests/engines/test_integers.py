# SPDX-License-Identifier: Apache-2.0
"""int8 products that ONNX Runtime computes in float all the same, on x86."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import edge_trt
from edge_trt.engines.onnx.integers import mostly_in_float
from edge_trt_runtime import load
from edge_trt_runtime.bundle import open_bundle
from edge_trt_runtime.executors import onnx as executor

CONVOLUTIONS = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 2, 1))
VECTORS = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))

CASES: dict[str, tuple[nn.Module, tuple[int, ...], str, bool]] = {
    "convolutions": (CONVOLUTIONS, (3, 6, 6), "sparse", True),
    "convolutions, dense": (CONVOLUTIONS, (3, 6, 6), "dense", False),
    "vectors": (VECTORS, (6,), "sparse", True),
    "tokens": (VECTORS, (5, 6), "sparse", False),
}


@pytest.mark.parametrize(("model", "shape", "scheme", "wanted"), CASES.values(), ids=list(CASES))
def test_weights_are_dequantized_once_where_integers_are_not_used(
    model: nn.Module, shape: tuple[int, ...], scheme: str, wanted: bool, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    torch.manual_seed(0)
    rows = np.random.default_rng(0).standard_normal((128, *shape)).astype(np.float32)
    bundle: Any = edge_trt.compile(
        model.eval(), (torch.from_numpy(rows[:1]),), precision="int8", calibration=rows,
        int8_scheme=scheme,
    )  # fmt: skip
    (network,) = bundle.networks
    assert mostly_in_float(network) == wanted
    bundle.save(tmp_path / "m.edge")
    opened = open_bundle(tmp_path / "m.edge")
    (engine,) = opened.manifest.engines
    assert engine.details.get(executor.MOSTLY_IN_FLOAT, False) == wanted
    answers: list[np.ndarray] = []
    for x86 in (True, False):
        monkeypatch.setattr(executor, "is_x86", lambda x86=x86: x86)
        with load(tmp_path / "m.edge") as session:
            answers.append(np.asarray(next(iter(session.run({"input": rows[:1]}).values()))))
    step = np.abs(answers[0]).max() / 127
    assert np.abs(answers[0] - answers[1]).max() <= step
