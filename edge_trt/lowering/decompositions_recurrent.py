# SPDX-License-Identifier: Apache-2.0
"""One step of a recurrent layer; PyTorch's own rules fix the sizes that they compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import linear

from edge_trt.lowering.edit import aten

if TYPE_CHECKING:
    from collections.abc import Callable


def _gru_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    reset, update, new = linear(input, w_ih, b_ih).chunk(3, -1)
    hidden_reset, hidden_update, hidden_new = linear(hx, w_hh, b_hh).chunk(3, -1)
    update = torch.sigmoid(update + hidden_update)
    new = torch.tanh(new + torch.sigmoid(reset + hidden_reset) * hidden_new)
    return (hx - new) * update + new


def _lstm_cell(
    input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None
) -> Any:
    hidden, cell = hx
    gates = linear(input, w_ih, b_ih) + linear(hidden, w_hh, b_hh)
    entrance, forget, new, output = gates.chunk(4, -1)
    kept = torch.sigmoid(forget) * cell + torch.sigmoid(entrance) * torch.tanh(new)
    return torch.sigmoid(output) * torch.tanh(kept), kept


RECURRENT: dict[Any, Callable[..., Any]] = {
    aten.gru_cell.default: _gru_cell,
    aten.lstm_cell.default: _lstm_cell,
}
