# SPDX-License-Identifier: Apache-2.0
"""Errors of the runtime, which are also the root of the compiler's.

::

    EdgeTrtError                everything that edge_trt raises on purpose
    ├── BundleError             damaged, edited, too new, or a path that leaves the bundle
    ├── InputError              wrong name, shape, data type (also a ValueError)
    └── EngineError             engine missing, could not be loaded, failed while running

The text says what is wrong, where, and what to do about it; the attributes say it to a program.
"""

from __future__ import annotations


class EdgeTrtError(Exception):
    """Root of all errors.

    Attributes:
        message: What is wrong, and where.
        hint: What to do about it; appended to the text. Empty when the message says it already.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Store the parts; ``str(error)`` is ``message: hint``."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the message with its hint."""
        return f"{self.message}: {self.hint}" if self.hint else self.message


class BundleError(EdgeTrtError):
    """A bundle can't be trusted or understood.

    Attributes:
        bundle: Path of the bundle.
        file: The offending file relative to the bundle, or empty.
    """

    def __init__(self, message: str, *, bundle: str = "", file: str = "", hint: str = "") -> None:
        """Store where the damage is."""
        super().__init__(message, hint=hint)
        self.bundle = bundle
        self.file = file


class InputError(EdgeTrtError, ValueError):
    """An input of a run does not fit the signature.

    Attributes:
        name: The input's name, as given or as missing.
        expected: What the signature asks for.
        got: What was passed.
    """

    def __init__(
        self, message: str, *, name: str = "", expected: str = "", got: str = "", hint: str = ""
    ) -> None:
        """Store what was expected and what came."""
        super().__init__(message, hint=hint)
        self.name = name
        self.expected = expected
        self.got = got


class EngineError(EdgeTrtError):
    """A segment has no engine for this device, or its engine failed.

    Attributes:
        segment: Name of the segment, or empty when it concerns the whole session.
    """

    def __init__(self, message: str, *, segment: str = "", hint: str = "") -> None:
        """Store which segment failed."""
        super().__init__(message, hint=hint)
        self.segment = segment
