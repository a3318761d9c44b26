# SPDX-License-Identifier: Apache-2.0
"""Small files of the kernel below a root path: read once, or opened once and read many times."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

NEEDS_ROOT = "needs root"
ABSENT = "not here"
POWERED_OFF = "powered off"
EMPTY = "is empty"

_WORDS = {
    errno.EACCES: NEEDS_ROOT,
    errno.EPERM: NEEDS_ROOT,
    errno.ENOENT: ABSENT,
    errno.ENOTDIR: ABSENT,
    errno.EAGAIN: POWERED_OFF,
    errno.EBUSY: POWERED_OFF,
}
# A gated sensor answers so and comes back by itself; with other errors its device may be gone.
_PASSING = (errno.EAGAIN, errno.EBUSY)

RETRY = 16
"""After a failure, every so many reads the file is opened again: devices come and go."""


def why(error: OSError) -> str:
    """Why a file can't be read, in two or three words."""
    return _WORDS.get(error.errno or 0) or (error.strerror or str(error)).lower()


def below(root: Path, path: str) -> Path:
    """`path` below `root`, with absolute links of a recorded tree led back into the tree."""
    current = root / path
    for _ in range(8):  # more links than any real chain has
        try:
            target = os.readlink(current)
        except OSError:
            return current
        current = root / target.lstrip("/") if target.startswith("/") else current.parent / target
    return current


def text(path: Path) -> str:
    """The file's text without what surrounds it; empty if it can't be read."""
    try:
        return path.read_bytes().decode("utf-8", "replace").strip("\0\n ")
    except OSError:
        return ""


def no_text(path: Path) -> str:
    """Why a file tells no text; empty if it does."""
    try:
        return "" if path.read_bytes().strip(b"\0\n ") else EMPTY
    except OSError as error:
        return why(error)


def names(folder: Path) -> tuple[list[str], str]:
    """Names in a folder in the order of their numbers, and why there are none."""
    try:
        found = os.listdir(folder)
    except OSError as error:
        return [], why(error)
    return sorted(found, key=_by_number), "" if found else ABSENT


def _by_number(name: str) -> tuple[str, int]:
    letters = name.rstrip("0123456789")
    digits = name[len(letters) :]
    return letters, int(digits) if digits else -1


class Source:
    """A file that is read again and again, always from its start, through one descriptor.

    Attributes:
        path: The file.
        problem: Why the last read gave nothing; empty if it gave something.
    """

    __slots__ = ("_descriptor", "_size", "_wait", "path", "problem")

    def __init__(self, path: Path, size: int = 64) -> None:
        """Open the file.

        Args:
            path: The file; it may be missing, and appear later.
            size: Most bytes that one read returns.
        """
        self.path = path
        self.problem = ""
        self._size = size
        self._descriptor = -1
        self._wait = 0
        self._open()

    def read(self) -> bytes | None:
        """What the file says now, or None (see `problem`)."""
        if self._descriptor < 0:
            self._wait -= 1
            if self._wait >= 0 or not self._open():
                return None
        try:
            data = os.pread(self._descriptor, self._size, 0)
        except OSError as error:
            self.problem = why(error)
            if error.errno not in _PASSING:
                self.close()
            return None
        self.problem = ""
        return data

    def number(self) -> int | None:
        """The whole number in the file, or None (see `problem`)."""
        data = self.read()
        if data is None:
            return None
        try:
            return int(data)
        except ValueError:
            self.problem = f"says {data[:20]!r}" if data.strip() else EMPTY
            return None

    def close(self) -> None:
        """Give the descriptor back; the next read opens the file again after a while."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
        self._wait = RETRY

    def _open(self) -> bool:
        try:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self.problem = why(error)
            self._wait = RETRY
            return False
        return True


def first(paths: Iterable[Path], size: int = 64) -> Source:
    """The first file that opens; if none does, one whose reason says more than `not here`.

    Raises:
        ValueError: There are no paths.
    """
    best: Source | None = None
    for path in paths:
        source = Source(path, size)
        if not source.problem:
            return source
        if best is None or (best.problem == ABSENT and source.problem != ABSENT):
            best = source
    if best is None:
        raise ValueError("no paths")
    return best
