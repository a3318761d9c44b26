# SPDX-License-Identifier: Apache-2.0
"""Lets torch.export see recurrent layers without unrolling them.

torch finds the shapes of a recurrent layer's results by running its decomposition, step by step:
a long sequence takes long, and a length that is a range becomes a fixed one. The shapes follow from
those of the arguments alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any

import torch
from torch._C import DispatchKey
from torch._decomp import decomposition_table
from torch._subclasses.fake_tensor import FakeTensor

aten = torch.ops.aten
OPERATORS = (aten.lstm.input, aten.gru.input, aten.rnn_tanh.input, aten.rnn_relu.input)
KEYS = (DispatchKey.CompositeImplicitAutograd, DispatchKey.Autograd)


@contextlib.contextmanager
def whole_recurrences() -> Generator[None]:
    """While an export runs, recurrent layers give results of the right shape in one piece."""
    known = {
        (operator, key): operator.py_kernels[key]
        for operator in OPERATORS
        for key in KEYS
        if key in operator.py_kernels
    }
    decompositions = {o: decomposition_table[o] for o in OPERATORS if o in decomposition_table}
    try:
        for (operator, key), kernel in known.items():
            operator.py_kernels[key] = _shapes_first(kernel)
            operator._dispatch_cache.clear()
        # Where a program is traced again, fake tensors of open sizes look here.
        for operator, kernel in decompositions.items():
            decomposition_table[operator] = _shapes_first(kernel)
        yield
    finally:
        for (operator, key), kernel in known.items():
            operator.py_kernels[key] = kernel
            operator._dispatch_cache.clear()
        decomposition_table.update(decompositions)


def _shapes_first(kernel: Callable[..., Any]) -> Callable[..., Any]:
    def run(input: Any, hx: Any, *rest: Any) -> Any:
        if isinstance(input, FakeTensor):
            return _results(input, hx, *rest)
        return kernel(input, hx, *rest)

    return run


def _results(
    input: torch.Tensor, hx: Any, params: Any, has_biases: bool, num_layers: int,
    dropout: float, train: bool, bidirectional: bool, batch_first: bool,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    """Empty results: the output of every step, and the last states."""
    states = list(hx) if isinstance(hx, (list, tuple)) else [hx]
    steps, batch = input.shape[:2][::-1] if batch_first else input.shape[:2]
    size = states[0].shape[-1] * (2 if bidirectional else 1)
    output = input.new_empty((steps, batch, size))
    output = output.transpose(0, 1) if batch_first else output
    return (output, *(state.new_empty(state.shape) for state in states))
