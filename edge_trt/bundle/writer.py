# SPDX-License-Identifier: Apache-2.0
"""Writing a bundle so that it is whole or not there.

::

    with BundleWriter("model.edge") as writer:
        store.write(writer.path("weights.safetensors"), writer.observe("weights.safetensors"))
        writer.add_bytes("networks/main.json", text)
        manifest = writer.commit(manifest)

Everything goes to a temporary sibling, which takes the bundle's place in the end. Whatever happens
before, an older bundle of this name stays as it was.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

import msgspec

from edge_trt.bundle.digest import Digest
from edge_trt.bundle.replace import replace_directory, sync_tree
from edge_trt.bundle.staging import Staging
from edge_trt.bundle.termination import sigterm_raises
from edge_trt_runtime.bundle import OpenBundle
from edge_trt_runtime.checksums import file_entry
from edge_trt_runtime.consistency import check_manifest
from edge_trt_runtime.describe import format_size
from edge_trt_runtime.errors import BundleError, EdgeTrtError
from edge_trt_runtime.manifest import FileEntry, Manifest, decode_manifest, encode_manifest
from edge_trt_runtime.paths import MANIFEST_NAME, SIGNATURE_NAME, UNLISTED, check_path

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


class BundleWriter:
    """Collects the files of a bundle and puts them in place at once.

    Attributes:
        target: Where the bundle will be, symbolic links resolved: a link to a bundle goes on to
            point to it.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, expected_bytes: int = 0, durable: bool = True
    ) -> None:
        """Prepare to write; nothing happens before the ``with`` block is entered.

        Args:
            path: Where the bundle shall be. An older bundle there is replaced; anything else is
                left alone and refused.
            expected_bytes: Size of the whole bundle if known: it is then compared with the free
                space at the start.
            durable: Whether a power cut right after the end must find the bundle whole.
        """
        self._durable = durable
        self.target = os.path.realpath(path)
        self._expected = expected_bytes
        self._digests: dict[str, Digest] = {}
        self._entries: dict[str, FileEntry] = {}
        self._writing = 0  # bytes of the file that is being added
        self._stack = ExitStack()
        self._staging: Staging | None = None
        self._committed = False

    def __enter__(self) -> BundleWriter:
        """Create the temporary sibling.

        Raises:
            EdgeTrtError: When the path is taken by something else, the folder does not exist or
                can't be written, or the disk has too little room.
        """
        self._check_target()
        with ExitStack() as stack:
            stack.enter_context(sigterm_raises())
            try:
                self._staging = Staging(self.target)
            except OSError as error:
                raise self._refusal(error) from error
            stack.callback(self._staging.remove)
            free = shutil.disk_usage(self._root).free
            if self._expected > free:
                raise self._disk_full(free)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the temporary sibling.

        Raises:
            EdgeTrtError: In the place of an :exc:`OSError` that says that the disk is full.
            RuntimeError: When the block ended without :meth:`commit`.
        """
        full = isinstance(error, OSError) and error.errno in _DISK_FULL
        refusal = self._disk_full(shutil.disk_usage(self._root).free) if full else None
        self._stack.close()
        if refusal is not None:
            raise refusal from error
        if error is None and not self._committed:
            raise RuntimeError(f"{self.target}: the bundle was left without commit()")

    def check_place(self) -> None:
        """Refuse a place where no bundle can be written, before work is spent on it.

        Raises:
            EdgeTrtError: As on entering the ``with`` block.
        """
        self._check_target()

    @contextmanager
    def sibling(self, purpose: str) -> Generator[str]:
        """Lend a folder beside the bundle, on its file system; it is deleted in the end."""
        with sigterm_raises():
            try:
                staging = Staging(f"{self.target}.{purpose}")
            except OSError as error:
                raise self._refusal(error) from error
            try:
                yield staging.path
            finally:
                staging.remove()

    def move_in(self, finished: str) -> None:
        """Puts a bundle that another writer completed, on this file system, in place.

        Raises:
            EdgeTrtError: As :meth:`commit`; what was there stays, and so does ``finished``.
        """
        self._check_target()
        try:
            replace_directory(finished, self.target)
        except OSError as error:
            raise self._refusal(error) from error

    def add_bytes(self, relative: str, data: bytes | bytearray | memoryview) -> None:
        """Write a whole file.

        Raises:
            BundleError: When the path is unsafe, or written already.
        """
        path = self.path(relative)
        self._writing = memoryview(data).nbytes
        self.observe(relative)(memoryview(data))
        path.write_bytes(data)
        self._writing = 0

    def path(self, relative: str) -> Path:
        """Return where to write a file; its folder exists.

        The file is read once more to hash it, unless :meth:`observe` saw it being written.

        Raises:
            BundleError: When the path is unsafe, or written already.
        """
        check_path(relative, self.target)
        path = Path(self._root, relative)
        if relative in UNLISTED or path.exists():
            raise BundleError(f"{relative!r} is written twice", bundle=self.target, file=relative)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def observe(self, relative: str) -> Callable[[bytes | memoryview], None]:
        """Return a function to be given all bytes of the file ``relative`` in their order.

        They are hashed beside the writing, so they must not change before :meth:`commit`.
        """
        digest = self._digests[relative] = Digest()
        return digest.update

    def reuse(self, bundle: OpenBundle, relative: str, *, leaving: bool = False) -> None:
        """Take over a file of another bundle with its recorded digest.

        A bundle that is being replaced, or ``leaving`` anyway, gives the file itself (a hard link),
        another one a copy.

        Raises:
            BundleError: When the file is missing there or of another size.
            EdgeTrtError: When the copy can't be written.
        """
        source, entry = bundle.path(relative), bundle.manifest.files[relative]
        if leaving or bundle.root == self.target:
            self.adopt(source, entry, relative)
        else:
            self._copy(source, self.path(relative))
            self._entries[relative] = entry

    def adopt(self, source: str, entry: FileEntry, relative: str) -> None:
        """Take over a file that nobody changes any more, under a path of the bundle.

        Args:
            source: The file; where the file system can, it gets a second name and no copy.
            entry: Its digest and size.
            relative: Its path in the bundle.

        Raises:
            BundleError: When the path is unsafe, or written already.
        """
        path = self.path(relative)
        try:
            os.link(source, path)
        except OSError:  # a file system without hard links, or another one
            self._copy(source, path)
        self._entries[relative] = entry

    def _copy(self, source: str, path: Path) -> None:
        """Copies a file; what goes wrong is told of the bundle, and not of the file it is from."""
        try:
            shutil.copyfile(source, path)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._refusal(error) from error

    def commit(self, manifest: Manifest) -> Manifest:
        """Complete ``manifest`` with every file's digest, and put the bundle in place.

        Returns:
            The manifest as written.

        Raises:
            BundleError: When the manifest contradicts itself, or names a file that is not there.
            EdgeTrtError: When the older bundle can't be replaced.
        """
        files = {relative: self._entry(relative) for relative in sorted(self._files())}
        manifest = msgspec.structs.replace(manifest, files=files)
        check_manifest(manifest, bundle=self.target)
        self._put_in_place({MANIFEST_NAME: encode_manifest(manifest)})
        return manifest

    def commit_signed(self, manifest: bytes, signature: bytes) -> None:
        """Put a bundle in place whose manifest is there already, with the signature over it.

        Raises:
            BundleError: When the manifest is refused, or lists other files than those written.
            EdgeTrtError: As :meth:`commit`.
        """
        listed = decode_manifest(manifest, bundle=self.target).files
        if listed != {relative: self._entry(relative) for relative in self._files()}:
            raise BundleError(
                f"the manifest that was signed does not list the files of {self.target}",
                bundle=self.target,
                file=MANIFEST_NAME,
            )
        self._put_in_place({MANIFEST_NAME: manifest, SIGNATURE_NAME: signature})

    def _put_in_place(self, unlisted: dict[str, bytes]) -> None:
        """Add what no manifest lists, and take the place of an older bundle."""
        for name, data in unlisted.items():
            Path(self._root, name).write_bytes(data)
        if self._durable:
            sync_tree(self._root)  # so that a power cut leaves no hollow bundle
        self._check_target()
        try:
            replace_directory(self._root, self.target)
        except OSError as error:
            raise self._refusal(error) from error
        self._committed = True

    @property
    def _root(self) -> str:
        if self._staging is None:
            raise RuntimeError("a BundleWriter is used in a `with` block")
        return self._staging.path

    def _files(self) -> Iterator[str]:
        """Yield the relative paths of all files written."""
        for folder, subfolders, names in os.walk(self._root):
            for name in [*names, *subfolders]:
                path = os.path.join(folder, name)
                relative = os.path.relpath(path, self._root)
                if os.path.islink(path):
                    raise BundleError(
                        f"{relative!r} is a symbolic link", bundle=self.target, file=relative
                    )
                if name in names:
                    yield relative

    def _entry(self, relative: str) -> FileEntry:
        path = os.path.join(self._root, relative)
        digest = self._digests.get(relative)
        known = self._entries.get(relative) or (digest and digest.entry())
        # Another size means that the observer did not see everything.
        if known is not None and known.size == os.stat(path).st_size:
            return known
        return file_entry(path)

    def _check_target(self) -> None:
        """Refuse to replace what is not a bundle."""
        folder = os.path.dirname(self.target)
        if not os.path.isdir(folder):
            raise EdgeTrtError(f"the folder {folder} does not exist", hint="create it first")
        if not os.path.lexists(self.target):
            return
        if not os.path.isdir(self.target):
            raise EdgeTrtError(f"{self.target} is a file", hint="choose another name")
        if not os.path.isfile(os.path.join(self.target, MANIFEST_NAME)):
            raise EdgeTrtError(
                f"{self.target} is a directory and not a bundle (it has no {MANIFEST_NAME})",
                hint="choose another name, or remove it",
            )

    def _refusal(self, error: OSError) -> EdgeTrtError:
        if error.errno in _DISK_FULL:
            return self._disk_full(shutil.disk_usage(os.path.dirname(self.target)).free)
        return EdgeTrtError(
            f"{self.target} can't be written ({error.strerror})",
            hint="check the permissions of its folder, or choose another place",
        )

    def _disk_full(self, free: int) -> EdgeTrtError:
        """Say how much was needed: what is expected, or else what is known so far."""
        needed = self._expected
        if needed:
            size = format_size(needed)
        else:
            size = f"at least {format_size(_tree_size(self._staging) + self._writing)}"
        return EdgeTrtError(
            f"the disk is full: {self.target} needs {size} and {format_size(free)} are free",
            hint="free some space, or write it elsewhere",
        )


def _tree_size(staging: Staging | None) -> int:
    if staging is None:
        return 0
    return sum(
        os.lstat(os.path.join(folder, name)).st_size
        for folder, _, names in os.walk(staging.path)
        for name in names
    )
