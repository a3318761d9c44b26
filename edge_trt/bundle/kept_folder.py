# SPDX-License-Identifier: Apache-2.0
"""A folder beside a bundle for what an interrupted build leaves to the next: ``<name>.plans``."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from edge_trt.bundle.termination import sigterm_raises
from edge_trt_runtime.errors import EdgeTrtError


@contextmanager
def kept_folder(bundle: str | os.PathLike[str]) -> Generator[Path]:
    """Lends the folder; it is deleted if the block comes to its end, and stays if not.

    Args:
        bundle: where the bundle is or will be; the folder is on its file system.

    Raises:
        EdgeTrtError: another process uses it, or it can't be made.
    """
    path = Path(f"{os.path.realpath(bundle)}.plans")
    try:
        path.mkdir(exist_ok=True)
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise EdgeTrtError(
            f"{path} can't be written ({error.strerror})",
            hint="check the permissions of its folder, or choose another place with -o",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise EdgeTrtError(
            f"engines for {bundle} are being built by another process",
            hint="wait for it to end",
        ) from error
    try:
        with sigterm_raises():
            yield path
        shutil.rmtree(path, ignore_errors=True)
    finally:
        if path.is_dir() and not any(path.glob("*.json")):
            shutil.rmtree(path, ignore_errors=True)
        os.close(lock)
