# SPDX-License-Identifier: Apache-2.0
"""Lets torch.export see fake quantization of a size that may change.

PyTorch takes it apart into an operator that also says what was clipped, which has no shape function
for symbolic sizes. The result is like the input.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor

from edge_trt.capture.python_kernels import own, python_kernel

aten = torch.ops.aten
FAKE_QUANTIZERS = (
    aten.fake_quantize_per_tensor_affine.default,
    aten.fake_quantize_per_tensor_affine.tensor_qparams,
    aten.fake_quantize_per_channel_affine.default,
)


@contextmanager
def whole_fake_quantizers() -> Generator[None]:
    """While an export runs, fake quantization of symbolic sizes is not taken apart."""
    with ExitStack() as stack:
        for operator in FAKE_QUANTIZERS:
            stack.enter_context(python_kernel(operator, partial(_shape_first, operator)))
        yield


def _shape_first(operator: Any, input: Any, *rest: Any) -> Any:
    if isinstance(input, FakeTensor) and any(isinstance(n, torch.SymInt) for n in input.shape):
        return torch.empty_like(input)
    return own(operator, input, *rest)
