# SPDX-License-Identifier: Apache-2.0
"""Pooling that rounds up, for images of any size."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch

if TYPE_CHECKING:
    from collections.abc import Generator

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

    def windows(
        size: Any, kernel: int, before: int, after: int, stride: int, dilation: int, ceil_mode: bool
    ) -> Any:
        if not ceil_mode or isinstance(size, int):
            return original(size, kernel, before, after, stride, dilation, ceil_mode)
        extent = dilation * (kernel - 1) + 1
        count = (size + before + after - extent + stride - 1) // stride + 1
        if before + stride <= extent:  # no window can start in the padding
            return count
        return torch.sym_min(count, (size + before - 1) // stride + 1)

    with patch(_META, windows):
        yield
