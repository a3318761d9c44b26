# SPDX-License-Identifier: Apache-2.0
"""What TensorRT says: its error recorder and its log, as plain text that names our layers."""

from __future__ import annotations

import contextlib
import functools
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

HARMLESS = (
    # Building ahead of time on a machine without an NVIDIA driver, or without a GPU: queries of the
    # device are reported as errors after any other error, and none of them concerns the network.
    "CUDA driver version is insufficient for CUDA runtime version",
    "no CUDA-capable device is detected",
    # Somebody else in this process used TensorRT first: warnings then go to their logger.
    "The logger passed into createInfer",
)
"""Messages that say nothing about a network; they count only where nothing else is said."""

_LOCATION = re.compile(r"\s+(?:In|at)\s+\S+\s+at\s+\S+:\d+")
_COMPILER = re.compile(r"^\[[\w.]+:\d+: ~?\w+\]\s*")
_FRAME = re.compile(r"^[\w:~]+: Error Code \d+: [\w ]+?\((?P<text>.*)\)$", re.DOTALL)


def is_harmless(text: str) -> bool:
    """True for messages that say nothing about the network."""
    return any(part in text for part in HARMLESS)


def clean(text: str) -> str:
    """TensorRT's message without its own source locations, function names and error codes."""
    text = _COMPILER.sub("", _LOCATION.sub("", text).strip())
    frame = _FRAME.match(text)
    return (frame["text"] if frame else text).strip().rstrip(".")


class Messages:
    """Error texts in the order they came, without repetitions.

    Attributes:
        texts: What concerns the network.
        harmless: The rest: it explains a failure only when nothing else does.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.harmless: list[str] = []

    def add(self, text: str) -> None:
        """Keeps a message unless it is known already."""
        known, cleaned = self.harmless if is_harmless(text) else self.texts, clean(text)
        if cleaned not in known:
            known.append(cleaned)

    def take(self) -> list[str]:
        """The messages so far; they are forgotten here."""
        texts = self.texts or self.harmless
        self.texts, self.harmless = [], []
        return texts


def error_recorder(trt: Any, messages: Messages) -> Any:
    """A TensorRT error recorder that fills `messages`. Keep it as long as its builder."""
    return _recorder_class(trt)(messages)


@contextlib.contextmanager
def logging_to(trt: Any, warnings: Messages) -> Generator[Any, None, None]:
    """A TensorRT logger that prints nothing and puts warnings into `warnings`.

    A process has one: TensorRT keeps the first logger it sees and ignores later ones.
    """
    log = _logger(trt)
    log.sinks.append(warnings)
    try:
        yield log
    finally:
        log.sinks.remove(warnings)


@functools.cache
def _recorder_class(trt: Any) -> Any:
    class Recorder(trt.IErrorRecorder):
        """Passes errors on; counts them, because TensorRT asks after each call."""

        def __init__(self, messages: Messages) -> None:
            trt.IErrorRecorder.__init__(self)
            self.messages = messages
            self.errors: list[tuple[Any, str]] = []

        def report_error(self, code: Any, text: str) -> bool:
            self.errors.append((code, text))
            self.messages.add(text)
            return True

        def num_errors(self) -> int:
            return len(self.errors)

        def get_error_code(self, index: int) -> Any:
            return self.errors[index][0]

        def get_error_desc(self, index: int) -> str:
            return self.errors[index][1]

        def has_overflowed(self) -> bool:
            return False

        def clear(self) -> None:
            self.errors.clear()

    return Recorder


@functools.cache
def _logger(trt: Any) -> Any:
    class Log(trt.ILogger):
        """Errors come through the recorder, so the log need only keep warnings."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.sinks: list[Messages] = []

        def log(self, severity: Any, text: str) -> None:
            if severity == trt.ILogger.WARNING:
                for sink in self.sinks:
                    sink.add(text)

    return Log()
