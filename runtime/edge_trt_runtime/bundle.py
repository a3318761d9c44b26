# SPDX-License-Identifier: Apache-2.0
"""Reading a bundle: the directory that is shipped.

Nothing here runs code of the bundle, so it is safe to open one of unknown origin.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edge_trt_runtime.checksums import file_entry
from edge_trt_runtime.errors import BundleError
from edge_trt_runtime.manifest import Manifest, decode_manifest
from edge_trt_runtime.paths import MANIFEST_NAME, UNLISTED, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

_DAMAGED = "copy the whole bundle again, or build it again"
_MANIFEST_LIMIT = 64 << 20  # bytes; a manifest of a big model has some 100 KB


class OpenBundle:
    """A bundle whose manifest has been read.

    Attributes:
        root: The bundle's directory, absolute, symbolic links resolved.
        manifest: The decoded manifest.
    """

    __slots__ = ("manifest", "root")

    def __init__(self, root: str, manifest: Manifest) -> None:
        """Use :func:`open_bundle`."""
        self.root = root
        self.manifest = manifest

    def path(self, relative: str) -> str:
        """Return the absolute path of a file that the manifest lists, its size checked.

        Raises:
            BundleError: When it is unsafe, unlisted, missing, or of another size.
        """
        entry = self.manifest.files.get(relative)
        if entry is None:
            raise self._damage(relative, "is not listed in its manifest")
        path = resolve(self.root, relative)
        size = os.stat(path).st_size
        if size != entry.size:
            what = "truncated" if size < entry.size else "changed"
            raise self._damage(relative, f"is {what}: {size} bytes instead of {entry.size}")
        return path

    def read(self, relative: str) -> bytes:
        """Return the content of a file that the manifest lists.

        Raises:
            BundleError: As :meth:`path`.
        """
        with open(self.path(relative), "rb") as file:
            return file.read()

    def verify(self) -> None:
        """Check that every file is as the manifest says, and that there is no other.

        Raises:
            BundleError: Naming the first file that is wrong.
        """
        listed = self.manifest.files
        paths = {relative: self.path(relative) for relative in listed}  # sizes first: they are free
        for relative in self._files():
            if relative not in listed and relative not in UNLISTED:
                raise self._damage(
                    relative,
                    "is not listed in its manifest",
                    hint="remove the file, or build the bundle again",
                )
        for relative, path in paths.items():
            if file_entry(path) != listed[relative]:
                raise self._damage(relative, "was changed after the build (sha256 differs)")

    def _files(self) -> Iterator[str]:
        """Yield the relative path of everything in the bundle that is not a real directory."""
        folders = [""]
        while folders:
            folder = folders.pop()
            with os.scandir(os.path.join(self.root, folder)) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{folder}{entry.name}/")
                    else:
                        yield f"{folder}{entry.name}"

    def _damage(self, relative: str, what: str, *, hint: str = _DAMAGED) -> BundleError:
        message = f"{relative!r} in the bundle {self.root} {what}"
        return BundleError(message, bundle=self.root, file=relative, hint=hint)


def open_bundle(path: str | os.PathLike[str]) -> OpenBundle:
    """Read the manifest of the bundle at ``path``; no other file is touched.

    Raises:
        BundleError: When there is no bundle, or its manifest is damaged, unsafe or too new.
    """
    root = os.path.realpath(path)
    if not os.path.isdir(root):
        what = "is a file" if os.path.exists(root) else "does not exist"
        raise BundleError(
            f"{os.fspath(path)!r} {what}",
            bundle=root,
            hint="give the directory that `edge_trt build` wrote",
        )
    if not os.path.lexists(os.path.join(root, MANIFEST_NAME)):
        raise BundleError(
            f"{os.fspath(path)!r} is not a bundle (it has no {MANIFEST_NAME})",
            bundle=root,
            file=MANIFEST_NAME,
            hint="give the directory that `edge_trt build` wrote",
        )
    data = _read_small(root, MANIFEST_NAME, _MANIFEST_LIMIT)
    return OpenBundle(root, decode_manifest(data, bundle=root))


def _read_small(root: str, name: str, limit: int) -> bytes:
    """Return the content of a file that the manifest can't list; no more than ``limit`` bytes."""
    with open(resolve(root, name), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise BundleError(f"{name} of {root} is implausibly large", bundle=root, file=name)
    return data


def verify_bundle(path: str | os.PathLike[str]) -> OpenBundle:
    """Check size and sha256 of every file of the bundle at ``path``.

    Returns:
        The bundle, opened.

    Raises:
        BundleError: Naming the first file that is missing, changed, unlisted or unsafe.
    """
    bundle = open_bundle(path)
    bundle.verify()
    return bundle
