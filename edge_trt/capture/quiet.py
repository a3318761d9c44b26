# SPDX-License-Identifier: Apache-2.0
"""Keeping torch.export from printing what the error that it raises says too."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Keep torch from logging what the raised error says too (``EDGE_TRT_DEBUG=1`` shows it)."""
    if os.environ.get("EDGE_TRT_DEBUG"):
        yield
        return
    noisy = [
        logging.getLogger(name)
        for name in (
            "torch._subclasses.fake_tensor",
            "torch.export",
            "torch.fx.experimental.symbolic_shapes",
            "torch.export._trace",
        )
    ]
    levels = [logger.level for logger in noisy]
    for logger in noisy:
        logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(_WithoutGraphs()), warnings.catch_warnings():
            # torch looks at gradients of what a branch of torch.cond reads.
            warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not")
            # torchvision's own form of nms calls what torch has renamed.
            warnings.filterwarnings("ignore", message="`create_unbacked_symint` is deprecated")
            # PyTorch 2.11 maps a program's weights without the right to write.
            warnings.filterwarnings("ignore", message="The given buffer is not writable")
            # Whether that matters is for kept_attributes.py to find out.
            warnings.filterwarnings("ignore", message="The tensor attributes? .* assigned during")
            yield
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)


class _WithoutGraphs(io.TextIOBase):
    """The standard error stream, less the half-traced graphs that export prints when it fails."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._dropped = False

    def write(self, text: str) -> int:
        """Pass on everything but the source of a graph, and the line end that follows it."""
        rest_of_line = self._dropped and text == "\n"
        self._dropped = "def forward(self" in text
        if not self._dropped and not rest_of_line:
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream behind."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Whether the stream behind is a terminal."""
        return self._stream.isatty()
