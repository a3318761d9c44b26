# SPDX-License-Identifier: Apache-2.0
"""Warnings that point at the line of the user's code that called edge_trt."""

from __future__ import annotations

import contextlib
import inspect
import os
import warnings
from pathlib import Path

_OURS = (str(Path(__file__).parent) + os.sep, contextlib.__file__)


class EdgeTrtWarning(UserWarning):
    """Something compiled, but perhaps not as meant."""


def warn(text: str, category: type[EdgeTrtWarning] = EdgeTrtWarning) -> None:
    """Warns at the innermost line outside of edge_trt from which all this was called."""
    frame, level = inspect.currentframe(), 1
    while frame and frame.f_back and frame.f_code.co_filename.startswith(_OURS):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)
