# SPDX-License-Identifier: Apache-2.0
"""What board support refuses, as one sentence with the way out."""

from __future__ import annotations


class BoardError(Exception):
    """A board, its files or its tools don't allow what was asked.

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
