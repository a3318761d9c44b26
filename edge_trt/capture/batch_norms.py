# SPDX-License-Identifier: Apache-2.0
"""Lets torch.export find the shape of a batch-norm at once.

torch finds it by running a decomposition, which for DenseNet-121 takes a third of the export. With
known statistics the result is like the input.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import torch
from torch._C import DispatchKey
from torch._subclasses.fake_tensor import FakeTensor

BATCH_NORM = torch.ops.aten.batch_norm.default
KEYS = (DispatchKey.CompositeImplicitAutograd, DispatchKey.Autograd)


@contextlib.contextmanager
def whole_batch_norms() -> Generator[None]:
    """While an export runs, batch-norms with known statistics are not taken apart."""
    kernels = BATCH_NORM.py_kernels
    added = [key for key in KEYS if key not in kernels]
    try:
        for key in added:
            kernels[key] = _shape_first
        BATCH_NORM._dispatch_cache.clear()
        yield
    finally:
        for key in added:
            del kernels[key]
        BATCH_NORM._dispatch_cache.clear()


def _shape_first(input: Any, *rest: Any) -> Any:
    mean, training = rest[2], rest[4]
    # Asking for the channels makes them a fixed number, as the decomposition does.
    if isinstance(input, FakeTensor) and not training and input.shape[1] == mean.shape[0]:
        return torch.empty_like(input)
    return BATCH_NORM._op_dk(DispatchKey.CompositeImplicitAutograd, input, *rest)
