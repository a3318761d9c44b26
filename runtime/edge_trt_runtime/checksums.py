# SPDX-License-Identifier: Apache-2.0
"""sha256 of files of any size, in constant memory."""

from __future__ import annotations

import hashlib

from edge_trt_runtime.manifest import FileEntry

_CHUNK = 1 << 20


def file_entry(path: str) -> FileEntry:
    """Read the file at ``path`` once, and return its digest and size."""
    digest = hashlib.sha256()
    size = 0
    chunk = memoryview(bytearray(_CHUNK))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(chunk):
            digest.update(chunk[:count])
            size += count
    return FileEntry(digest.hexdigest(), size)
