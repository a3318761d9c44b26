# SPDX-License-Identifier: Apache-2.0
"""Lets torch.export trace the transformers of `torch.nn` with a mask.

Without a word in `is_causal` they compare the mask's values with those of a causal one, which no
export can. What they find may make them faster in eager PyTorch; the mask is applied either way.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from torch.nn.modules import transformer

if TYPE_CHECKING:
    from collections.abc import Generator

_DETECTION = "_detect_is_causal_mask"  # as in torch 2.13


@contextmanager
def masks_as_they_are() -> Generator[None]:
    """While an export runs, a mask is not looked at: unless it is said, it is not called causal."""
    if not hasattr(transformer, _DETECTION):
        yield
        return

    def said(mask: Any, is_causal: bool | None = None, size: int | None = None) -> bool:
        del mask, size
        return is_causal is True

    with patch.object(transformer, _DETECTION, said):
        yield
