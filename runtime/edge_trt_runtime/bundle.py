# SPDX-License-Identifier: Apache-2.0
"""Reading a bundle: the directory that is shipped.

Nothing here runs code of the bundle, so it is safe to open one of unknown origin.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edge_trt_runtime.checksums import file_entry
from edge_trt_runtime.errors import BundleError
from edge_trt_runtime.manifest import Manifest, decode_manifest
from edge_trt_runtime.paths import MANIFEST_NAME, SIGNATURE_NAME, UNLISTED, resolve

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from edge_trt_runtime.keys import TrustedKey

_DAMAGED = "copy the whole bundle again, or build it again"
# Bytes at most: a manifest of a big model has some 100 KB, a signature some 250 bytes.
_LIMITS = {MANIFEST_NAME: 64 << 20, SIGNATURE_NAME: 4096}


class OpenBundle:
    """A bundle whose manifest has been read.

    Attributes:
        root: The bundle's directory, absolute, symbolic links resolved.
        manifest: The decoded manifest.
        verified: Whether :meth:`verify` has found every file as the manifest says.
    """

    __slots__ = ("manifest", "root", "verified")

    def __init__(self, root: str, manifest: Manifest) -> None:
        """Use :func:`open_bundle`."""
        self.root = root
        self.manifest = manifest
        self.verified = False

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
        with _reading(self.root, relative), open(self.path(relative), "rb") as file:
            return file.read()

    def verify(self) -> None:
        """Check that every file is as the manifest says, and that there is no other.

        Raises:
            BundleError: Naming the first file that is wrong.
        """
        self.check_listing()
        for relative in self.manifest.files:
            self.check_file(relative)
        self.verified = True

    def check_listing(self) -> None:
        """Check that every file has the size that the manifest says, and that there is no other.

        Raises:
            BundleError: Naming the first file that is wrong.
        """
        listed = self.manifest.files
        for relative in listed:
            self.path(relative)
        for relative in self._files():
            if relative not in listed and relative not in UNLISTED:
                raise self._damage(
                    relative,
                    "is not listed in its manifest",
                    hint="remove the file, or build the bundle again",
                )

    def check_file(self, relative: str) -> None:
        """Check that a file is as the manifest says.

        Raises:
            BundleError: When it is not.
        """
        path = self.path(relative)
        with _reading(self.root, relative):
            entry = file_entry(path)
        if entry != self.manifest.files[relative]:
            raise self._damage(relative, "was changed after the build (sha256 differs)")

    def _files(self) -> Iterator[str]:
        """Yield the relative path of everything in the bundle that is not a real directory."""
        folders = [""]
        while folders:
            folder = folders.pop()
            with (
                _reading(self.root, folder or "."),
                os.scandir(os.path.join(self.root, folder)) as entries,
            ):
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{folder}{entry.name}/")
                    else:
                        yield f"{folder}{entry.name}"

    def _damage(self, relative: str, what: str, *, hint: str = _DAMAGED) -> BundleError:
        message = f"{relative!r} in the bundle {self.root} {what}"
        return BundleError(message, bundle=self.root, file=relative, hint=hint)


def open_bundle(
    path: str | os.PathLike[str],
    *,
    trusted_keys: Iterable[TrustedKey] | None = None,
    least_counter: int = 0,
) -> OpenBundle:
    """Read the manifest of the bundle at ``path``; no other file but its signature is touched.

    Args:
        path: The bundle's directory.
        trusted_keys: Public keys, one of which must have signed the manifest. It is checked before
            the manifest is decoded; what the manifest says of files is for
            :meth:`OpenBundle.verify` to check.
        least_counter: The least counter that the manifest may have.

    Raises:
        BundleError: When there is no bundle, or its manifest is damaged, unsafe, too new, not
            signed by a trusted key, or older than allowed.
        EngineError: When a key can't be read, or ``cryptography`` is missing.
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
    data = read_unlisted(root, MANIFEST_NAME)
    if trusted_keys is not None:
        _check_signed(root, data, trusted_keys)
    manifest = decode_manifest(data, bundle=root)
    if manifest.counter < least_counter:
        from edge_trt_runtime.signing import rolled_back

        raise rolled_back(manifest.counter, least_counter, bundle=root)
    return OpenBundle(root, manifest)


def _check_signed(root: str, manifest: bytes, trusted_keys: Iterable[TrustedKey]) -> None:
    from edge_trt_runtime.keys import read_public_keys
    from edge_trt_runtime.signing import check_signature

    keys = read_public_keys(trusted_keys)
    check_signature(manifest, read_signature(root), keys, bundle=root)


def read_signature(root: str) -> bytes | None:
    """Return the content of ``manifest.sig`` of the bundle at ``root``, or None without one.

    Raises:
        BundleError: As :func:`read_unlisted`.
    """
    present = os.path.lexists(os.path.join(root, SIGNATURE_NAME))
    return read_unlisted(root, SIGNATURE_NAME) if present else None


def read_unlisted(root: str, name: str) -> bytes:
    """Return the content of the manifest of the bundle at ``root``, or of its signature.

    Raises:
        BundleError: When it leaves the bundle, is no file, can't be read or is implausibly large.
    """
    limit = _LIMITS[name]
    with _reading(root, name), open(resolve(root, name), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise BundleError(f"{name} of {root} is implausibly large", bundle=root, file=name)
    return data


@contextmanager
def _reading(root: str, relative: str) -> Generator[None]:
    """Say which file of a bundle the system refuses to read."""
    try:
        yield
    except OSError as error:
        raise BundleError(
            f"{relative!r} in the bundle {root} can't be read ({error.strerror})",
            bundle=root,
            file=relative,
            hint="check its permissions, or copy the whole bundle again",
        ) from error


def verify_bundle(
    path: str | os.PathLike[str],
    *,
    trusted_keys: Iterable[TrustedKey] | None = None,
    least_counter: int = 0,
) -> OpenBundle:
    """Check size and sha256 of every file of the bundle at ``path``, and who signed it.

    Args:
        path: The bundle's directory.
        trusted_keys: As for :func:`open_bundle`.
        least_counter: Likewise.

    Returns:
        The bundle, opened.

    Raises:
        BundleError: Naming the first file that is missing, changed, unlisted or unsafe, or saying
            why the signature is refused.
        EngineError: As :func:`open_bundle`.
    """
    bundle = open_bundle(path, trusted_keys=trusted_keys, least_counter=least_counter)
    bundle.verify()
    return bundle
