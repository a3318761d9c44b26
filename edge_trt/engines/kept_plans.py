# SPDX-License-Identifier: Apache-2.0
"""Plans of a build that did not come to its end, for the next one to go on from.

A board builds for minutes, and each plan of a bundle stands for itself. So each goes into a folder
as soon as it is complete, under a name made of all that it depends on: the network, the weights,
what a fingerprint names (target, TensorRT, GPU, settings), and the version of this package.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edge_trt._version import __version__
from edge_trt.engines.plan_file import PlanFile
from edge_trt_runtime.checksums import file_entry
from edge_trt_runtime.manifest import Detail, FileEntry


class Record(msgspec.Struct):
    """What stands beside a kept plan: its digest, and what the build said of it."""

    file: FileEntry
    details: dict[str, Detail]


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A plan that an earlier build completed.

    Attributes:
        path: where it lies.
        known: its digest and size.
    """

    path: Path
    known: FileEntry

    def entry(self) -> FileEntry:
        """Digest and size."""
        return self.known

    def read(self) -> memoryview:
        """What is in it, as a memory map."""
        with self.path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


@dataclass(frozen=True, slots=True)
class KeptPlans:
    """A folder of plans.

    Attributes:
        folder: where they lie; it exists.
        networks: a digest of each network with its weights, by its name. What has none is not
            found again.
        check: waits until the weights are known to have their digest, and raises if not.
    """

    folder: Path
    networks: Mapping[str, str] = field(default_factory=dict[str, str])
    check: Callable[[], None] | None = None

    def begin(self, segment: str, fingerprint: str, stream: int = 1) -> PlanFile:
        """The file that a plan grows in; it counts as complete after `keep`."""
        return PlanFile(self._path(segment, fingerprint, stream).with_suffix(".partial"))

    def keep(
        self,
        file: PlanFile,
        segment: str,
        fingerprint: str,
        details: dict[str, Detail],
        stream: int = 1,
    ) -> None:
        """Gives a complete plan its name, with a record beside it.

        Raises:
            OSError: the record can't be written.
            BundleError: the weights were damaged.
        """
        path = self._path(segment, fingerprint, stream)
        file.path = file.path.rename(path)
        if segment in self.networks:
            if self.check is not None:
                self.check()
            record = msgspec.json.encode(Record(file.entry(), details))
            path.with_suffix(".json").write_bytes(record)

    def find(
        self, segment: str, fingerprint: str, stream: int = 1
    ) -> tuple[KeptFile, dict[str, Detail]] | None:
        """A plan that was kept, and its details; None where there is none, or it was damaged."""
        path = self._path(segment, fingerprint, stream)
        if segment not in self.networks:
            return None
        with suppress(OSError, msgspec.DecodeError):
            record = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=Record)
            if file_entry(str(path)) == record.file:
                return KeptFile(path, record.file), record.details
        return None

    def _path(self, segment: str, fingerprint: str, stream: int) -> Path:
        text = f"{__version__} {segment} {fingerprint} {self.networks.get(segment, '')}"
        text += f" stream {stream}" if stream > 1 else ""
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.plan"
