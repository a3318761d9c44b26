# SPDX-License-Identifier: Apache-2.0
"""Speech and time-series models, end to end, for the CPU and TensorRT-RTX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edge_trt
from edge_trt_runtime import load

pytestmark = [
    pytest.mark.rtx,
    pytest.mark.filterwarnings("ignore:The tensor attributes self"),
]


class Classifier(nn.Module):
    """The last state of a stacked LSTM, classified."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrence = nn.LSTM(8, 12, 2, batch_first=True)
        self.head = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, (hidden, _) = self.recurrence(x)
        return self.head(hidden[-1])


class Tagger(nn.Module):
    """A label per step, from words read in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.recurrence = nn.LSTM(8, 6, batch_first=True, bidirectional=True)
        self.head = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.recurrence(self.words(x))[0]).log_softmax(-1)


class Spoken(nn.Module):
    """Convolutions over time, then a GRU, as small speech models have them."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Sequential(nn.Conv1d(8, 10, 3, 2, 1), nn.BatchNorm1d(10), nn.ReLU())
        self.recurrence = nn.GRU(10, 6, bidirectional=True)
        self.head = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.recurrence(self.front(x).permute(2, 0, 1))[0])


class Sequences(nn.Module):
    """An encoder whose last state starts the decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRU(8, 6, batch_first=True), nn.GRU(8, 6, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, state = self.encoder(x)
        return self.decoder(x, state)[0]


MODELS = {
    "classifier": (Classifier, lambda batch: torch.randn(batch, 7, 8)),
    "tagger": (Tagger, lambda batch: torch.randint(0, 20, (batch, 7))),
    "spoken": (Spoken, lambda batch: torch.randn(batch, 8, 14)),
    "sequences": (Sequences, lambda batch: torch.randn(batch, 7, 8)),
}


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("name", MODELS)
def test_one_block_that_agrees_with_eager(name: str, dynamic: bool, tmp_path: Path) -> None:
    make, data = MODELS[name]
    model, x = make().eval().requires_grad_(False), data(2)
    given = edge_trt.Input(x, min=(1, *x.shape[1:]), max=(4, *x.shape[1:])) if dynamic else x
    bundle = edge_trt.compile(model, (given,), target=("cpu", "rtx"))
    assert [part.network is not None for part in bundle.parts] == [True]
    (network,) = bundle.networks
    loops = sum(len(body.nodes) for body in network.bodies())
    assert loops > 0
    assert bundle.report["layers"] == {network.name: len(network.nodes) + loops}
    bundle.save(tmp_path / "model.edge")
    session = load(tmp_path / "model.edge")
    for batch in (1, 2, 4) if dynamic else (2,):
        x = data(batch)
        (result,) = session.run({"x": x.numpy()}).values()
        np.testing.assert_allclose(result, model(x).numpy(), rtol=1e-4, atol=1e-5)
