# SPDX-License-Identifier: Apache-2.0
"""Keeps a calibration when what comes after it fails: a pass over the data may take long."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from edge_trt.errors import EdgeTrtError
from edge_trt_calibration import Ranges


class CalibratedError(EdgeTrtError):
    """Something failed after the ranges were measured, such as the user's metric.

    Attributes:
        ranges: the ranges, for `compile(..., ranges=error.ranges)`.
    """

    def __init__(self, error: EdgeTrtError, ranges: Ranges) -> None:
        """Store the ranges beside what went wrong."""
        super().__init__(str(error), hint="ranges=error.ranges goes on from this calibration")
        self.ranges = ranges


@contextmanager
def keeping(ranges: Ranges, path: Path | None) -> Generator[None]:
    """Hands the ranges on, whatever the block does: in a file, or in its error.

    Args:
        ranges: what was measured.
        path: where they are written; None puts them into the error.

    Raises:
        CalibratedError: without a path, in the place of what the block raised.
    """
    if path is not None:
        ranges.save(path)
    try:
        yield
    except EdgeTrtError as error:
        if path is not None:
            raise
        raise CalibratedError(error, ranges) from error
