# SPDX-License-Identifier: Apache-2.0
"""Exports to which no size is special: not 1, which would broadcast, and not 0."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from torch.fx.experimental import _config as tracing_options

CAN_BE_OBLIVIOUS = hasattr(tracing_options, "backed_size_oblivious")


def oblivious() -> AbstractContextManager[None]:
    """Let exports ask as little about sizes as this PyTorch can."""
    if not CAN_BE_OBLIVIOUS:
        return nullcontext()
    return tracing_options.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
