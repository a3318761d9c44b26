# SPDX-License-Identifier: Apache-2.0
"""A word where a trace with open sizes takes very long.

Windows of an image divide its sizes and multiply them again, in every block. torch.export's
expressions of sizes grow with each, and so does the time that it takes to simplify them.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from torch import nn

from edge_trt.capture.module_state import CaptureWarning
from edge_trt.warning import warn

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

    from edge_trt.capture.call import Call

PATIENCE = 60.0
"""Seconds of a trace after which something is said, once."""


@contextmanager
def told_when_slow(model: nn.Module, call: Call) -> Generator[None]:
    """Warn, while a trace with open sizes goes on, where it is and what helps.

    Args:
        model: The model that is traced by this thread.
        call: Its arguments; nothing is said where all sizes are numbers.
    """
    if not any(tensor.axes for tensor in call.tensors):
        yield
        return
    tracing = threading.get_ident()

    def tell() -> None:
        frame = sys._current_frames().get(tracing)
        where = "" if frame is None else _where(model, frame)
        said = (
            f"torch.export has been tracing for {PATIENCE:.0f} s{where}: with open sizes it may "
            "take very long, most of all where sizes are divided and multiplied again; with "
            "fixed sizes it takes seconds, so fix those that need not change"
        )
        with suppress(CaptureWarning):  # where warnings are errors: raised here, it ends nothing
            warn(said, CaptureWarning)

    timer = threading.Timer(PATIENCE, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _where(model: nn.Module, frame: FrameType) -> str:
    """The innermost module that a thread is in, and the line of its code."""
    paths = {id(module): path for path, module in model.named_modules()}
    current: FrameType | None = frame
    while current is not None:
        code = current.f_code
        path = paths.get(id(current.f_locals.get("self")), "")
        if path and code.co_name == "forward":
            return f", now in module {path} ({code.co_filename}:{current.f_lineno})"
        current = current.f_back
    return ""
