# SPDX-License-Identifier: Apache-2.0
"""Every layer kind and variant with inputs and results, for whatever executes layers."""

from __future__ import annotations

from tests.support.layer_rows import compute, control, elementwise, shape, window
from tests.support.layer_rows.row import Row

ROWS: tuple[Row, ...] = tuple(
    row for family in (elementwise, shape, compute, window, control) for row in family.rows()
)

__all__ = ["ROWS", "Row"]
