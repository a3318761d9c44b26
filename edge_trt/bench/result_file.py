# SPDX-License-Identifier: Apache-2.0
"""Files that a measurement ends in: looked at before it, and never half-written."""

from __future__ import annotations

import os
from pathlib import Path

from edge_trt_runtime.errors import EdgeTrtError


def check_place(path: str) -> None:
    """Refuses a path that nothing can be written to.

    Raises:
        EdgeTrtError: its folder is missing or read-only, or it is a folder itself.
    """
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        reason = "it is a folder"
    elif not os.path.isdir(folder):
        reason = f"there is no folder {folder}"
    elif not os.access(path if os.path.exists(path) else folder, os.W_OK):
        reason = "permission denied"
    else:
        return
    raise EdgeTrtError(f"{path!r} can't be written ({reason})", hint="name another place")


def write_whole(path: str, content: bytes) -> None:
    """Writes a file that is there whole or not at all; what is no plain file is written as it is.

    Raises:
        EdgeTrtError: it can't be written.
    """
    try:
        check_place(path)
        if os.path.islink(path) or (os.path.exists(path) and not os.path.isfile(path)):
            Path(path).write_bytes(content)  # a link stays one, and a pipe can't be replaced
            return
        partial = Path(f"{path}.partial")
        try:
            partial.write_bytes(content)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise EdgeTrtError(f"{path!r} can't be written ({error.strerror})") from error
