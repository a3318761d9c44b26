# SPDX-License-Identifier: Apache-2.0
"""One finding of `edge_trt doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "missing", "broken"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Attributes:
        name: What was looked for.
        status: `ok`; `missing` (what it allows is unavailable); `broken` (there, but unusable).
        found: Version, or what is wrong.
        allows: What it is for.
        fix: Command or step that adds it; empty when nothing is needed.
    """

    name: str
    status: Status
    found: str
    allows: str
    fix: str = ""
