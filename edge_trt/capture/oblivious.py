# SPDX-License-Identifier: Apache-2.0
"""Exports to which no size is special: not 1, which would broadcast, and not 0."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch.fx.experimental import _config as tracing_options

CAN_BE_OBLIVIOUS = hasattr(tracing_options, "backed_size_oblivious")


def oblivious() -> AbstractContextManager[None]:
    """Let exports ask as little about sizes as this PyTorch can."""
    if not CAN_BE_OBLIVIOUS:
        return nullcontext()
    return tracing_options.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]


@contextmanager
def no_new_guards(shapes: Any) -> Generator[None]:
    """Lets questions about the symbolic sizes of a `ShapeEnv` fail with "guards are frozen"."""
    if hasattr(shapes, "error_on_new_guards"):  # PyTorch 2.13
        with shapes.error_on_new_guards():
            yield
        return

    def refuse(expression: object, _: object) -> None:
        raise RuntimeError(f"guards are frozen, and {expression} would be one")

    shapes._check_frozen = refuse  # called before any guard
    try:
        yield
    finally:
        del shapes._check_frozen
