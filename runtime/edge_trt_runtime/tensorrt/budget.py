# SPDX-License-Identifier: Apache-2.0
"""Sizes of memory as people write them."""

from __future__ import annotations

import re

from edge_trt_runtime.errors import EngineError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


def parse_bytes(text: str, what: str) -> int:
    """Return a number of bytes: ``"2GB"``, ``"512 MiB"``, ``"1000000"``.

    Args:
        text: The size.
        what: Where it was given, for the error.

    Raises:
        EngineError: When it is none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]I?)?B?\s*", text.upper())
    if match is None:
        raise EngineError(f"{what} is {text!r}, which is no size", hint="give one such as 2GB")
    return int(float(match[1]) * _UNITS[match[2] or ""])
