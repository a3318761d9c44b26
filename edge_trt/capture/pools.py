# SPDX-License-Identifier: Apache-2.0
"""Pooling whose export would fix the size: that which rounds up, and by maximum over one axis."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch
from torch._subclasses.fake_tensor import FakeTensor

from edge_trt.capture.python_kernels import own, python_kernel

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

MAX_POOL = torch.ops.aten.max_pool1d.default

_META = "torch._meta_registrations.pooling_output_shape_pad_lr"  # as in torch 2.13


@contextmanager
def any_size_rounds_up() -> Generator[None]:
    """Let torch.export count the windows of `ceil_mode` without asking for the size.

    PyTorch asks whether the last window starts in the padding, and export makes a promise of the
    answer: only sizes such as `2*n - 1` would be left. The number of windows is a minimum of two.
    """
    import torch._meta_registrations as registrations

    original: Any = getattr(registrations, _META.rpartition(".")[2], None)
    if original is None:
        yield
        return

    def count(
        size: Any, kernel: int, before: int, after: int, stride: int, dilation: int, ceil_mode: bool
    ) -> Any:
        if not ceil_mode or isinstance(size, int):
            return original(size, kernel, before, after, stride, dilation, ceil_mode)
        extent = dilation * (kernel - 1) + 1
        return windows(size, extent, stride, before, after, ceil_mode)

    with patch(_META, count):
        yield


def whole_max_pools() -> AbstractContextManager[None]:
    """While an export runs, `max_pool1d` is not taken apart by code that asks for the size."""
    return python_kernel(MAX_POOL, _shape_of_max_pool)


def _shape_of_max_pool(
    input: Any,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> Any:
    given = (input, kernel_size, stride, padding, dilation, ceil_mode)
    if not isinstance(input, FakeTensor) or isinstance(input.shape[-1], int):
        return own(MAX_POOL, *given)
    (kernel,), (around,), (apart,) = kernel_size, padding, dilation
    step = stride[0] if stride else kernel
    extent = apart * (kernel - 1) + 1
    count = windows(input.shape[-1], extent, step, around, around, ceil_mode)
    return input.new_empty((*input.shape[:-1], count))


def windows(size: Any, extent: int, stride: int, before: int, after: int, ceil_mode: bool) -> Any:
    """How many windows of an extent an axis has, as an expression of its size.

    With `ceil_mode` a last window that would start in the padding is none.
    """
    count = (size + before + after - extent + (stride - 1 if ceil_mode else 0)) // stride + 1
    if not ceil_mode or before + stride <= extent:
        return count
    return torch.sym_min(count, (size + before - 1) // stride + 1)
