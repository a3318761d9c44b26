# SPDX-License-Identifier: Apache-2.0
"""Shapes of views as they are asked for, whatever sizes the example happens to have.

PyTorch finds the shape of ``x.view(-1, 128)`` by walking along the sizes of ``x``, and asks of each
whether it is what it looks for. With an example in which ``h*w*8`` is 128 the view is ``x`` itself
to it, symbolic shape and all, though at other sizes it is another. And ``x.reshape(-1, 160)`` gets
a second size of ``(b*s) // ((b*s) // 160)``.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch
from torch import _prims_common as prims
from torch import _refs

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence


@contextmanager
def views_as_asked() -> Generator[None]:
    """Give views with open sizes the shape that was asked for, while torch.export traces."""
    refs: Any = _refs  # as in torch 2.8 to 2.13
    original = refs._reshape_view_helper

    def view(a: torch.Tensor, *shape: Any, allow_copy: bool) -> torch.Tensor:
        if not any(isinstance(size, torch.SymInt) for size in a.shape) or a.dim() == 0:
            return original(a, *shape, allow_copy=allow_copy)
        given = prims.extract_shape_from_varargs(shape, validate=False)
        asked = prims.infer_size(given, a.numel())
        # Of sizes that it computes itself, PyTorch asks what tells in which steps they may go.
        if -1 in given and all(isinstance(size, int) for size in given) and is_contiguous(a):
            return a.as_strided(asked, contiguous_strides(asked))
        result = original(a, *shape, allow_copy=allow_copy)
        if all(map(_is_same, result.shape, asked)):
            return result
        return result.as_strided(asked, result.stride())

    with patch.object(refs, "_reshape_view_helper", view):
        yield


def is_contiguous(tensor: torch.Tensor) -> bool:
    """Whether a tensor is contiguous at all sizes, as far as can be told without asking."""
    expected: Any = 1
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.stride()), strict=True):
        if isinstance(size, int) and size == 1:
            continue
        if not _is_same(stride, expected):
            return False
        expected = expected * size
    return True


def contiguous_strides(shape: Sequence[Any]) -> list[Any]:
    """The strides of a contiguous tensor; those of an empty one are as if it were not."""
    strides: list[Any] = []
    step: Any = 1
    for size in reversed(shape):
        strides.insert(0, step)
        step = step * size
    return strides


def _is_same(size: Any, other: Any) -> bool:
    """Whether two sizes are the same expression; nothing is asked of the example."""
    first, second = (s.node.expr if isinstance(s, torch.SymInt) else s for s in (size, other))
    return bool(first == second)
