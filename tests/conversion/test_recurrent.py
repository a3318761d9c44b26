# SPDX-License-Identifier: Apache-2.0
"""Converters of `recurrent.py`."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.conversion.checking import check_row
from tests.conversion.rows import Row, f

pytestmark = [
    pytest.mark.filterwarnings("ignore:The tensor attributes self"),
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
]
SEQUENCE = (f(5, "b", 4),)
FIRST = (f("b", 5, 4),)


class Dropping(nn.Module):
    """A recurrence that is told to drop values whatever the mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shapes = [(3, 4), (3, 3), (3,), (3,)]
        params = [torch.ones(shape) for shape in (*shapes, (3, 3), *shapes[1:])]
        state = torch.zeros(2, x.shape[1], 3)
        return torch.rnn_tanh(x, state, params, True, 2, 0.5, True, False, False)[0]


class Stated(nn.Module):
    """Initial states come from outside."""

    def __init__(self, recurrence: nn.Module) -> None:
        super().__init__()
        self.recurrence = recurrence

    def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> object:
        state = (h, c) if isinstance(self.recurrence, nn.LSTM) else h + c
        return self.recurrence(x, state)


ROWS = [
    Row("lstm", nn.LSTM(4, 6), SEQUENCE),
    Row(
        "lstm, stacked, both directions",
        nn.LSTM(4, 3, 2, bidirectional=True, batch_first=True), FIRST,
    ),
    Row("lstm without bias", nn.LSTM(4, 3, bias=False), SEQUENCE),
    Row("lstm with projections", nn.LSTM(4, 6, proj_size=3, bidirectional=True), SEQUENCE),
    Row("lstm with states", Stated(nn.LSTM(4, 3)), (*SEQUENCE, f(1, "b", 3), f(1, "b", 3))),
    Row("lstm of one sequence", nn.LSTM(4, 3), (f(5, 4),)),
    Row("lstm of one step", nn.LSTM(4, 3), (f(1, "b", 4),)),
    Row("gru", nn.GRU(4, 3, 2, dropout=0.5), SEQUENCE),
    Row("gru, both directions", nn.GRU(4, 3, bidirectional=True, batch_first=True), FIRST),
    Row("gru with states", Stated(nn.GRU(4, 3)), (*SEQUENCE, f(1, "b", 3), f(1, "b", 3))),
    Row("tanh", nn.RNN(4, 3, bias=False), SEQUENCE),
    Row("relu", nn.RNN(4, 3, nonlinearity="relu"), SEQUENCE),
    Row("lstm of any length", nn.LSTM(4, 3, bidirectional=True), (f("n", "b", 4),)),
    Row("gru of any length", nn.GRU(4, 3, batch_first=True), (f("b", "n", 4),)),
    Row("dropout", Dropping(), SEQUENCE, refusal="call model.eval()"),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_recurrent(row: Row):
    check_row(row)
