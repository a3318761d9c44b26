# SPDX-License-Identifier: Apache-2.0
"""Paths of files in a bundle: always relative, always inside."""

from __future__ import annotations

import os
import stat

from edge_trt_runtime.errors import BundleError

MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.sig"

UNLISTED = (MANIFEST_NAME, SIGNATURE_NAME)
"""What a manifest can't list: itself, and the signature over it."""


def path_problem(relative: str) -> str | None:
    """Say why ``relative`` can't be the path of a file in a bundle, or return ``None``.

    A good path is in POSIX form and normalised: ``engines/cpu/main.onnx``. The same rule holds on
    every system, so that a bundle which is safe on one is safe on all.
    """
    if not relative:
        return "it is empty"
    if "\0" in relative or "\\" in relative or ":" in relative:
        return "it has a character that paths in a bundle can't have (NUL, backslash or colon)"
    if not relative.isprintable():
        return "it has a character that can't be printed"
    if relative.startswith("/"):
        return "it is absolute"
    parts = relative.split("/")
    if ".." in parts:
        return "it leaves the bundle through '..'"
    if "" in parts or "." in parts:
        return "it is not normalised (empty or '.' component)"
    return None


def check_path(relative: str, bundle: str = "") -> None:
    """Refuse a path that is not a plain path inside a bundle.

    Raises:
        BundleError: Naming the path and what is wrong with it.
    """
    if problem := path_problem(relative):
        raise BundleError(
            f"unsafe path {relative!r} in the bundle {bundle}: {problem}"
            if bundle
            else f"unsafe path {relative!r}: {problem}",
            bundle=bundle,
            file=relative,
        )


def resolve(root: str, relative: str) -> str:
    """Return the real path of an existing regular file of the bundle at ``root``.

    Args:
        root: The bundle's directory with symbolic links resolved.
        relative: Path inside the bundle.

    Raises:
        BundleError: When the path is unsafe, missing, not a regular file, or a symbolic link
            leads out of the bundle.
    """
    check_path(relative, root)
    real = os.path.realpath(os.path.join(root, relative))
    if os.path.commonpath([root, real]) != root:
        raise BundleError(
            f"{relative!r} in the bundle {root} is a symbolic link that leaves the bundle",
            bundle=root,
            file=relative,
            hint="copy the file into the bundle",
        )
    try:
        mode = os.stat(real).st_mode
    except OSError as error:
        raise BundleError(
            f"{relative!r} is missing from the bundle {root}",
            bundle=root,
            file=relative,
            hint="copy the whole bundle again, or build it again",
        ) from error
    if not stat.S_ISREG(mode):
        raise BundleError(
            f"{relative!r} in the bundle {root} is not a regular file", bundle=root, file=relative
        )
    return real
