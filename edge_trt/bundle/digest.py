# SPDX-License-Identifier: Apache-2.0
"""Digests of files while they are written."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

from edge_trt_runtime.manifest import FileEntry

_LARGE = 1 << 20  # bytes from which a thread is worth its start


class Digest:
    """sha256 and size of what passes by; large pieces are hashed in a thread of their own."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._worker: ThreadPoolExecutor | None = None

    def update(self, data: bytes | memoryview) -> None:
        """Add a piece, which must not change before :meth:`entry`."""
        size = memoryview(data).nbytes
        self._size += size
        if self._worker is None and size >= _LARGE:
            self._worker = ThreadPoolExecutor(1)  # one thread, so that the order is kept
        if self._worker is None:
            self._sha256.update(data)
        else:
            self._worker.submit(self._sha256.update, data)

    def entry(self) -> FileEntry:
        """Return digest and size of all pieces."""
        if self._worker is not None:
            self._worker.shutdown()  # waits
            self._worker = None
        return FileEntry(self._sha256.hexdigest(), self._size)
