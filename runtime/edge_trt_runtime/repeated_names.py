# SPDX-License-Identifier: Apache-2.0
"""Names that stand twice in one object of a JSON text.

Readers differ in which of the two they take, so such a text means different things to them.
"""

from __future__ import annotations

from typing import Any


def repeated_name(data: bytes) -> str | None:
    """Return a name that an object of the JSON text ``data`` has twice, or ``None``.

    Args:
        data: JSON that another decoder has read, in UTF-8.

    Raises:
        RecursionError: When it is nested too deeply.
    """
    import json

    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                found.append(name)
            seen.add(name)

    # Numbers stay text: only names are looked at, and a long number would be an error.
    json.loads(data.decode(), object_pairs_hook=look, parse_int=str, parse_float=str)
    return found[0] if found else None
