# SPDX-License-Identifier: Apache-2.0
"""A plan that goes to the disk while TensorRT serializes it, and is never whole in memory."""

from __future__ import annotations

import mmap
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edge_trt.bundle.digest import Digest
from edge_trt_runtime.manifest import FileEntry


class PlanFile:
    """Takes a plan in pieces: each is written, hashed beside that, and let go of.

    Attributes:
        path: Where it lies.
        error: Why a piece could not be written; what comes after it is not.
    """

    def __init__(self, path: Path) -> None:
        """Creates the file; its folder must exist."""
        self.path = path
        self.error: OSError | None = None
        self._digest = Digest()
        self._file = path.open("wb", buffering=0)
        self._to_disk = ThreadPoolExecutor(1)

    def write(self, piece: bytes | memoryview) -> int:
        """Adds a piece; returns how many bytes of it were taken, which is none after an error."""
        try:
            rest = memoryview(piece)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = OSError(error.errno, error.strerror, str(self.path))
            return 0
        self._digest.update(piece)
        self._to_disk.submit(self._sync)
        return memoryview(piece).nbytes

    def _sync(self) -> None:
        """Sends to the disk what is written, so that who syncs the whole file waits less."""
        try:
            os.fdatasync(self._file.fileno())
        except OSError as error:
            self.error = error

    def __enter__(self) -> PlanFile:
        """Nothing is left to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the file; what is in it stays."""
        self._to_disk.shutdown(cancel_futures=True)
        self._file.close()

    def finish(self) -> memoryview:
        """Closes the file, and returns what is in it as a memory map.

        Raises:
            OSError: a piece could not be written.
        """
        self.__exit__()
        if self.error is not None:
            raise self.error
        with self.path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def entry(self) -> FileEntry:
        """Digest and size; waits for the hashing."""
        return self._digest.entry()
