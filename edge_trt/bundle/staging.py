# SPDX-License-Identifier: Apache-2.0
"""The temporary sibling in which a bundle grows: ``<name>.tmp-<pid>``.

Its writer holds a lock on it for as long as it lives, so that the leftovers of a killed process
can be told from the work of a running one, also across containers that share a volume.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import threading
from contextlib import suppress

from edge_trt.bundle.replace import OLD_SUFFIX
from edge_trt_runtime.errors import EdgeTrtError

_creating = threading.Lock()


class Staging:
    """A locked temporary directory.

    Attributes:
        path: Where it is.
    """

    def __init__(self, target: str) -> None:
        """Create the directory beside ``target``, after removing what killed processes left.

        Args:
            target: Absolute path of the bundle to be.

        Raises:
            EdgeTrtError: When another thread or container is writing the same bundle.
            OSError: When the folder can't be written.
        """
        self.path = f"{target}.tmp-{os.getpid()}"
        with _creating:
            _remove_leftovers(target)
            try:
                os.mkdir(self.path)
            except FileExistsError as error:
                raise EdgeTrtError(
                    f"{target} is being written by another build", hint="wait for it to end"
                ) from error
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Delete everything that is left, and give up the lock."""
        for path in (self.path, self.path + OLD_SUFFIX):
            shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            os.close(self._lock)


def _remove_leftovers(target: str) -> None:
    folder, name = os.path.split(target)
    pattern = re.compile(rf"{re.escape(name)}\.tmp-(\d+)({re.escape(OLD_SUFFIX)})?")
    for entry in os.listdir(folder):
        match = pattern.fullmatch(entry)
        if match is None or not _abandoned(os.path.join(folder, entry), int(match[1])):
            continue
        if match[2] and not os.path.lexists(target):
            # Killed between two renamings: the only copy of the old bundle has this name.
            os.rename(os.path.join(folder, entry), target)
        else:
            shutil.rmtree(os.path.join(folder, entry), ignore_errors=True)


def _abandoned(path: str, pid: int) -> bool:
    """Return whether nobody is writing the directory at ``path``."""
    if pid != os.getpid() and _alive(pid):
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
