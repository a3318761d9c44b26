# SPDX-License-Identifier: Apache-2.0
"""What calibration refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_trt_runtime.errors import EdgeTrtError

if TYPE_CHECKING:
    from edge_trt_calibration.ranges import Ranges

__all__ = ["CalibrationError"]


class CalibrationError(EdgeTrtError):
    """Data that can't set ranges, or ranges that belong to another model.

    Attributes:
        names: The inputs or tensors that it is about, all of them.
        ranges: Where data failed in a later batch, the `Ranges` of the batches before.
    """

    ranges: Ranges | None = None

    def __init__(self, message: str, *, names: Sequence[str] = (), hint: str = "") -> None:
        """Store what it is about."""
        super().__init__(message, hint=hint)
        self.names = tuple(names)
