# SPDX-License-Identifier: Apache-2.0
"""Putting a finished directory in the place of another: a reader sees the one or the other."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil

OLD_SUFFIX = ".old"
"""Added to the new directory's name to name the old one while it has stepped aside."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NOT_OFFERED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


def replace_directory(new: str, path: str) -> None:
    """Make ``new`` the directory at ``path``, and remove what was there.

    Where the system can exchange two names in one step (Linux, most file systems), there is no
    moment without a directory at ``path``. Elsewhere the old one is renamed away first and comes
    back if the second renaming fails.

    Args:
        new: A directory on the same file system. Afterwards nothing is left under this name.
        path: A directory, or nothing yet.

    Raises:
        OSError: When it is impossible; then ``path`` is what it was.
    """
    if not os.path.lexists(path):
        os.rename(new, path)
    elif _exchange(new, path):
        shutil.rmtree(new, ignore_errors=True)
    else:
        _rename_twice(new, path)
    sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """Force the names in the directory at ``path`` to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: str) -> None:
    """Force the files and names below the directory at ``root`` to the disk."""
    for folder, _, names in os.walk(root):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                os.fsync(file.fileno())
        sync_directory(folder)


def _rename_twice(new: str, path: str) -> None:
    old = new + OLD_SUFFIX
    os.rename(path, old)
    try:
        os.rename(new, path)
    except BaseException:
        if not os.path.lexists(path):
            os.rename(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: str, other: str) -> bool:
    """Swap two names atomically; return false where the system can't."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    arguments = (os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if rename(_AT_FDCWD, *arguments) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_OFFERED:
        return False
    raise OSError(number, os.strerror(number), one, None, other)
